"""Checks documents of a release with other people's code: the SPDX tools, in-toto's own types.

usage: documents.py sbom FILE | provenance FILE
"""

import base64
import json
import sys

from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement
import in_toto_attestation.v1.statement_pb2 as statement_pb2
import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb2
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def sbom(path):
    document = parse_file(path)
    messages = validate_full_spdx_document(document)
    assert not messages, "\n".join(m.validation_message for m in messages)
    return f"{len(document.packages)} packages, {len(document.relationships)} relationships"


def provenance(path):
    with open(path) as file:
        envelope = json.load(file)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"], validate=True)
    # Unknown fields are errors.
    read = json_format.Parse(payload, statement_pb2.Statement())
    statement = Statement.copy_from_pb(read)
    statement.validate()
    assert statement.pb.predicate_type == "https://slsa.dev/provenance/v1"
    predicate = json_format.MessageToJson(statement.pb.predicate)
    found = json_format.Parse(predicate, provenance_pb2.Provenance())
    assert found.build_definition.build_type and found.run_details.builder.id
    return f"{len(statement.pb.subject)} subjects"


print({"sbom": sbom, "provenance": provenance}[sys.argv[1]](sys.argv[2]))
