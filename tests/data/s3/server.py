"""moto's S3 on a free port of this host, until standard input closes.

It prints its port. `POST /-/faults` with {"method", "contains", "status", "times"} has the next
requests that fit refused; `GET /-/log` gives all requests so far. What is below `/-/web/` is asked for without
credentials, as a web server would show the bucket. Everything else is moto's.
"""
import json
import os
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)
ANYONE = ("AWS4-HMAC-SHA256 Credential=anyone/20260101/us-east-1/s3/aws4_request, "
          "SignedHeaders=host, Signature=0")
lock, log, faults = threading.Lock(), [], []


def application(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/-/faults":
        with lock:
            faults.append(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    if path == "/-/log":
        with lock:
            text = json.dumps(log).encode()
        start_response("200 OK", [("Content-Length", str(len(text)))])
        return [text]
    if path.startswith("/-/web/"):
        for name in ("PATH_INFO", "RAW_URI", "REQUEST_URI"):
            environ[name] = environ.get(name, "").replace("/-/web", "", 1)
        environ["HTTP_AUTHORIZATION"] = ANYONE
        return moto(environ, start_response)
    with lock:
        log.append([method, path, environ.get("QUERY_STRING", ""),
                    environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")])
        for fault in faults:
            if fault["times"] > 0 and fault["method"] in ("", method) and fault["contains"] in path:
                fault["times"] -= 1
                code = {403: "AccessDenied", 503: "SlowDown"}.get(fault["status"], "InternalError")
                start_response(f"{fault['status']} {code}", [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>as asked</Message></Error>".encode()]
    return moto(environ, start_response)


server = make_server("127.0.0.1", 0, application, threaded=True)
print(server.port, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
