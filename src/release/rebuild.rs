//! Verdicts of those who built a release again: `rebuilds.intoto.jsonl`, one signed in-toto
//! statement a line, the good and the bad ones.
//!
//! The file is no part of the release that the manifest lists, since verdicts come later and
//! from others: each line stands for itself, by its own signature.

use super::keys::{Signer, Trust};
use super::{dsse, provenance};
use crate::effects::Place;
use crate::model::rebuild::Rebuild;
use crate::model::{Failure, Result};
use serde_json::{Value, json};

/// The name of the file.
pub const FILE_NAME: &str = "rebuilds.intoto.jsonl";
/// What kind of statement it is.
pub const PREDICATE_TYPE: &str = "urn:bootwright:rebuild:v1";
/// So many of the newest verdicts are kept.
const KEPT: usize = 32;
/// No file of verdicts is larger, in bytes.
const LIMIT: u64 = 16 << 20;

/// A verdict as one signed line. Subjects are the published files, whatever the verdict.
///
/// # Errors
/// If it cannot be signed.
pub fn seal(verdict: &Rebuild, signers: &[&Signer]) -> Result<String> {
    let bug = |e: serde_json::Error| Failure::bug(format!("writing {FILE_NAME}: {e}"));
    let mut predicate = serde_json::to_value(verdict).map_err(bug)?;
    predicate["verdict"] = json!(if verdict.reproduced() { "reproduced" } else { "different" });
    let subject: Vec<Value> = verdict
        .files
        .iter()
        .map(|f| json!({ "name": f.name, "digest": { "sha256": f.published.hex() } }))
        .collect();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    });
    dsse::seal(provenance::PAYLOAD_TYPE, &serde_json::to_vec(&statement).map_err(bug)?, signers)
}

/// Adds a signed verdict to a release's folder. Two writers at once may lose a verdict:
/// [`super::Store::add_rebuild`] keeps them apart.
///
/// # Errors
/// If it cannot be written.
pub fn add(folder: &Place, line: &str) -> Result<()> {
    let path = folder.join(FILE_NAME);
    let before = path.read(LIMIT)?.unwrap_or_default();
    let before = String::from_utf8_lossy(&before).into_owned();
    let mut lines: Vec<&str> = before.lines().chain(line.lines()).collect();
    lines.drain(..lines.len().saturating_sub(KEPT));
    path.put(format!("{}\n", lines.join("\n")).as_bytes())
}

/// The verdicts in a release's folder whose signatures count, oldest first. Lines of others
/// are passed over: everyone may add one.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn read(folder: &Place, trust: &Trust) -> Result<Vec<Rebuild>> {
    let Some(bytes) = folder.join(FILE_NAME).read(LIMIT)? else { return Ok(Vec::new()) };
    let verdict = |line: &[u8]| -> Option<Rebuild> {
        let payload = dsse::open(provenance::PAYLOAD_TYPE, line, trust).ok()?;
        let mut statement: Value = serde_json::from_slice(&payload).ok()?;
        if statement["predicateType"] != PREDICATE_TYPE {
            return None;
        }
        serde_json::from_value(statement["predicate"].take()).ok()
    };
    Ok(bytes.split(|b| *b == b'\n').filter_map(verdict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::model::rebuild::RebuiltFile;
    use crate::release::keys::generate;

    fn verdict(rebuilt: &str) -> Rebuild {
        Rebuild {
            image: "gw".parse().unwrap(),
            version: "20240101-0123abcd".parse().unwrap(),
            manifest: Digest::of("m"),
            recipe: Digest::of("r"),
            builder: "urn:x".to_owned(),
            tool: "bootwright".to_owned(),
            started: chrono::DateTime::UNIX_EPOCH,
            finished: chrono::DateTime::UNIX_EPOCH,
            files: vec![RebuiltFile {
                name: "gw.iso".to_owned(),
                published: Digest::of("a"),
                rebuilt: Digest::of(rebuilt),
                excused: None,
                difference: None,
            }],
        }
    }

    #[test]
    fn good_and_bad_verdicts_of_trusted_keys_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::folder(folder.path());
        let signer = || Signer::parse(&generate(None).unwrap().0, None).unwrap();
        let (ours, other) = (signer(), signer());
        let trust = Trust::of([ours.public().clone()]);
        assert!(read(&place, &trust).unwrap().is_empty());
        for (text, by) in [("a", &ours), ("b", &ours), ("c", &other)] {
            add(&place, &seal(&verdict(text), &[by]).unwrap()).unwrap();
        }
        let found = read(&place, &trust).unwrap();
        assert_eq!(found, [verdict("a"), verdict("b")]);
        assert_eq!(found.iter().map(Rebuild::reproduced).collect::<Vec<_>>(), [true, false]);
        assert!(read(&place, &Trust::of([])).unwrap().is_empty());
        let path = folder.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"sig\":\"M", "\"sig\":\"N")).unwrap();
        assert!(read(&place, &trust).unwrap().is_empty(), "altered signatures");
    }

    #[test]
    fn old_verdicts_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::folder(folder.path());
        for i in 0..KEPT + 3 {
            add(&place, &format!("{{\"line\":{i}}}\n")).unwrap();
        }
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert_eq!(text.lines().count(), KEPT);
        assert_eq!(text.lines().next(), Some("{\"line\":3}"));
    }
}
