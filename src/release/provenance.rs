//! Where a release comes from: an in-toto statement with SLSA provenance, signed.
//!
//! Formats: in-toto Statement v1, SLSA provenance v1, in a DSSE envelope
//! (`provenance.intoto.jsonl`: one envelope, one line).

use super::{dsse, keys::Signer, keys::Trust, purl};
use crate::model::artifact::InstalledPackage;
use crate::model::catalog::CatalogSource;
use crate::model::release::System;
use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The name of the file.
pub const FILE_NAME: &str = "provenance.intoto.jsonl";
/// The media type of an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// What the statement says of its subjects: SLSA provenance v1.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What kind of build this is: `externalParameters` are the catalog and the image in it.
pub const BUILD_TYPE: &str = "urn:bootwright:build:image:v1";

/// Everything that a statement says.
#[derive(Debug)]
pub struct Statement<'a> {
    /// Name and digest of every artifact.
    pub subjects: Vec<(&'a str, Digest)>,
    /// Where the catalog was read.
    pub source: &'a CatalogSource,
    /// The image in the catalog.
    pub image: &'a str,
    /// What it is made from.
    pub system: &'a System,
    /// The recipe's identity.
    pub recipe: Digest,
    /// The lock's identity.
    pub lock: Digest,
    /// The packages in the image.
    pub packages: &'a [InstalledPackage],
    /// Who built: a URI.
    pub builder: &'a str,
    /// Which run built.
    pub invocation: Option<&'a str>,
    /// When the build began.
    pub started: DateTime<Utc>,
    /// When the release was made.
    pub finished: DateTime<Utc>,
}

/// The statement as JSON.
pub fn statement(of: &Statement<'_>) -> Value {
    let catalog = without_credentials(&of.source.location);
    let commit = of.source.commit.as_ref().map(|c| c.id.as_str());
    let mut parameters = json!({ "catalog": catalog, "image": of.image });
    if let Some(commit) = commit {
        parameters["commit"] = json!(commit);
    }
    let mut metadata = json!({ "startedOn": date(of.started), "finishedOn": date(of.finished) });
    if let Some(invocation) = of.invocation {
        metadata["invocationId"] = json!(invocation);
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": of.subjects.iter()
            .map(|(name, digest)| json!({ "name": name, "digest": { "sha256": digest.hex() } }))
            .collect::<Vec<_>>(),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "internalParameters": { "recipe": of.recipe.to_string(), "tool": super::TOOL },
                "resolvedDependencies": dependencies(of, &catalog, commit),
            },
            "runDetails": {
                "builder": { "id": of.builder },
                "metadata": metadata,
            },
        },
    })
}

fn dependencies(of: &Statement<'_>, catalog: &str, commit: Option<&str>) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(commit) = commit {
        all.push(json!({
            "name": "catalog",
            "uri": format!("git+{catalog}@{commit}"),
            "digest": { "gitCommit": commit },
        }));
    }
    all.push(json!({ "name": "lock", "digest": { "sha256": of.lock.hex() } }));
    if let Some(firmware) = of.system.firmware() {
        let name = format!("Image Builder of {} {}", firmware.release, firmware.platform);
        all.push(json!({ "name": name, "digest": { "sha256": firmware.builder.hex() } }));
    }
    let mut packages: Vec<_> = of.packages.iter().collect();
    packages.sort();
    packages.dedup();
    all.extend(packages.into_iter().map(|p| {
        let uri = purl::of_package(of.system, &p.name, &p.version, &p.architecture);
        match p.sha256 {
            Some(digest) => json!({ "uri": uri, "digest": { "sha256": digest.hex() } }),
            None => json!({ "uri": uri }),
        }
    }));
    all
}

fn date(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes the signed envelope.
///
/// # Errors
/// If it cannot be signed.
pub fn write(of: &Statement<'_>, signers: &[&Signer]) -> Result<String> {
    let payload =
        serde_json::to_vec(&statement(of)).map_err(|e| Failure::bug(format!("writing {FILE_NAME}: {e}")))?;
    dsse::seal(PAYLOAD_TYPE, &payload, signers)
}

/// Reads a signed statement.
///
/// # Errors
/// *Untrusted* if too few trusted keys signed it or it is no in-toto statement.
pub fn read(envelope: &[u8], trust: &Trust) -> Result<Value> {
    let sealed = dsse::Sealed::read(PAYLOAD_TYPE, envelope, trust).map_err(|f| f.on(FILE_NAME))?;
    parse(&sealed.open().map_err(|f| f.on(FILE_NAME))?)
}

/// Reads a statement that keeps the signatures of the day it was made on: those of keys
/// that are retired by now are good.
///
/// # Errors
/// *Untrusted* if no known key signed it or it is no in-toto statement.
pub fn read_listed(envelope: &[u8], trust: &Trust) -> Result<Value> {
    let sealed = dsse::Sealed::read(PAYLOAD_TYPE, envelope, trust).map_err(|f| f.on(FILE_NAME))?;
    parse(&sealed.open_known().map_err(|f| f.on(FILE_NAME))?)
}

/// Reads a statement for whose bytes a signed manifest vouches, whoever signed it: after a
/// change of keys its own signatures may be by a key that a reader never knew.
///
/// # Errors
/// *Untrusted* if it is no in-toto statement.
pub fn read_vouched(envelope: &[u8]) -> Result<Value> {
    parse(&dsse::open_vouched(PAYLOAD_TYPE, envelope).map_err(|f| f.on(FILE_NAME))?)
}

fn parse(payload: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(payload)
        .map_err(|e| Failure::untrusted(format!("{FILE_NAME} holds no JSON: {e}")))?;
    if value["_type"] != "https://in-toto.io/Statement/v1" {
        return Err(Failure::untrusted(format!("{FILE_NAME} holds no in-toto statement")));
    }
    Ok(value)
}

/// A repository's address without user, password, query and fragment: those may hold tokens.
pub fn without_credentials(location: &str) -> String {
    if !location.contains("://") {
        // A path, or `user@host:path` of ssh: neither can hold a password.
        return location.to_owned();
    }
    match reqwest::Url::parse(location) {
        Ok(mut url) => {
            // Both fail only on URLs that cannot have a user at all.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => location.split("://").next().unwrap_or_default().to_owned() + "://",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Commit;

    #[test]
    fn credentials_never_get_out() {
        for (from, to) in [
            ("https://user:secret@example.org/x.git", "https://example.org/x.git"),
            ("https://secret@example.org/x.git?token=secret#secret", "https://example.org/x.git"),
            ("git@example.org:team/x.git", "git@example.org:team/x.git"),
            ("ssh://git:secret@example.org/x", "ssh://example.org/x"),
            ("https://us er:secret@", "https://"),
            ("catalog", "catalog"),
        ] {
            assert_eq!(without_credentials(from), to);
        }
    }

    #[test]
    fn statement_names_subjects_and_materials() {
        let date = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let source = CatalogSource {
            location: "https://x:secret@example.org/c.git".to_owned(),
            commit: Some(Commit { id: "a".repeat(40), date, subject: "s".to_owned() }),
        };
        let packages = [InstalledPackage {
            name: "bash".to_owned(),
            version: "5.2".to_owned(),
            architecture: "amd64".to_owned(),
            source: None,
            maintainer: None,
            homepage: None,
            sha256: Some(Digest::of("bash")),
        }];
        let of = Statement {
            subjects: vec![("demo.iso", Digest::of("iso"))],
            source: &source,
            image: "demo",
            system: &purl::debian(),
            recipe: Digest::of("r"),
            lock: Digest::of("l"),
            packages: &packages,
            builder: "https://example.org/runner",
            invocation: Some("run-1"),
            started: date,
            finished: date,
        };
        let signer = Signer::parse(&crate::release::keys::generate(None).unwrap().0, None).unwrap();
        let text = write(&of, &[&signer]).unwrap();
        assert_eq!(text.lines().count(), 1);
        let value = read(text.as_bytes(), &Trust::of([signer.public().clone()])).unwrap();
        assert!(!value.to_string().contains("secret"));
        let definition = &value["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["commit"], "a".repeat(40));
        assert_eq!(definition["resolvedDependencies"].as_array().unwrap().len(), 3);
        assert_eq!(value["subject"][0]["digest"]["sha256"], Digest::of("iso").hex());
        assert!(read(text.as_bytes(), &Trust::of([])).is_err());
    }
}
