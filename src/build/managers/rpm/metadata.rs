//! The texts of an rpm repository: `repomd.xml` and `primary.xml` (the "repo-md" format, as
//! createrepo_c writes it).
//!
//! `repomd.xml` is what is signed; it lists the digest of the primary metadata, which lists the
//! digest of every package. Both are hostile until that chain was checked.

use crate::model::{Digest, Failure, Result};
use chrono::{DateTime, Utc};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use std::collections::HashMap;
use std::io::BufRead;

/// What `repomd.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// When the newest part of it was made.
    pub date: DateTime<Utc>,
    /// Path of the primary metadata, below the repository.
    pub primary: String,
    /// Its digest as it lies there.
    pub digest: Digest,
}

/// A package as a solver names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Chosen {
    /// Its name.
    pub name: String,
    /// Epoch (where it is not 0), version and release: `1:2.3-4`.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
}

/// Where a package lies and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its digest; absent where the repository has another kind than SHA-256.
    pub sha256: Option<Digest>,
    /// Its size, in bytes.
    pub size: u64,
    /// Its path below the repository.
    pub path: String,
}

/// The value of an attribute; empty where there is none.
fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<String> {
    let bad = |e: String| Failure::upstream(format!("the repository's metadata cannot be read: {e}"));
    let found = tag.try_get_attribute(name).map_err(|e| bad(e.to_string()))?;
    let Some(found) = found else { return Ok(String::new()) };
    let value = found.normalized_value(XmlVersion::Implicit1_0).map_err(|e| bad(e.to_string()))?;
    Ok(value.into_owned())
}

/// One step of a document, as far as we look at it.
enum Step {
    /// An element begins (and ends at once, if `bool`).
    Begin(BytesStart<'static>, bool),
    Text(String),
    End,
    Done,
}

/// Reads step by step.
struct Steps<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
}

impl<R: BufRead> Steps<R> {
    fn new(input: R) -> Self {
        Self { reader: Reader::from_reader(input), buffer: Vec::new() }
    }

    fn next(&mut self) -> Result<Step> {
        let bad = |e: String| Failure::upstream(format!("the repository's metadata is no XML: {e}"));
        loop {
            self.buffer.clear();
            return Ok(
                match self.reader.read_event_into(&mut self.buffer).map_err(|e| bad(e.to_string()))? {
                    Event::Start(tag) => Step::Begin(tag.into_owned(), false),
                    Event::Empty(tag) => Step::Begin(tag.into_owned(), true),
                    Event::Text(text) => {
                        Step::Text(text.decode().map_err(|e| bad(e.to_string()))?.trim().to_owned())
                    }
                    Event::End(_) => Step::End,
                    Event::Eof => Step::Done,
                    _ => continue,
                },
            );
        }
    }
}

/// Reads `repomd.xml`.
///
/// # Errors
/// Class *upstream* if it is no such file or has no primary metadata with a SHA-256.
pub(super) fn head(text: &str) -> Result<Head> {
    let mut steps = Steps::new(text.as_bytes());
    let (mut path, mut section) = (Vec::<String>::new(), String::new());
    let (mut revision, mut newest) = (None, None::<i64>);
    let (mut primary, mut digest, mut kind) = (String::new(), None, String::new());
    loop {
        match steps.next()? {
            Step::Begin(tag, empty) => {
                let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                match (path.len(), name.as_str()) {
                    (1, "data") => section = attribute(&tag, "type")?,
                    (2, "checksum") => kind = attribute(&tag, "type")?,
                    (2, "location") if section == "primary" => primary = attribute(&tag, "href")?,
                    _ => {}
                }
                if !empty {
                    path.push(name);
                }
            }
            Step::Text(text) if !text.is_empty() => match (path.len(), path.last().map(String::as_str)) {
                (2, Some("revision")) => revision = text.parse::<i64>().ok(),
                (3, Some("timestamp")) => {
                    newest = newest.max(text.split('.').next().and_then(|t| t.parse().ok()))
                }
                (3, Some("checksum")) if section == "primary" && kind == "sha256" => {
                    digest = text.parse().ok()
                }
                _ => {}
            },
            Step::Text(_) => {}
            Step::End => drop(path.pop()),
            Step::Done => break,
        }
    }
    let bad = |what: &str| Failure::upstream(format!("the repository's index has no usable {what}"));
    // A revision may be any text; as a rule it is a time.
    let date = newest.or(revision).and_then(|t| DateTime::from_timestamp(t, 0)).ok_or_else(|| bad("date"))?;
    Ok(Head {
        date,
        primary: super::super::outside::below_mirror(&primary)?,
        digest: digest.ok_or_else(|| bad("SHA-256 of its packages' list"))?,
    })
}

/// Reads the primary metadata.
///
/// # Errors
/// Class *upstream* if it is no XML.
pub(super) fn primary(input: impl BufRead) -> Result<HashMap<Chosen, Listed>> {
    let mut steps = Steps::new(input);
    let mut path: Vec<String> = Vec::new();
    let mut packages = HashMap::new();
    let (mut chosen, mut listed, mut kind) = (None, None, String::new());
    loop {
        match steps.next()? {
            Step::Begin(tag, empty) => {
                let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                match (path.len(), name.as_str()) {
                    (1, "package") => {
                        chosen = Some(Chosen {
                            name: String::new(),
                            version: String::new(),
                            architecture: String::new(),
                        });
                        listed = Some(Listed { sha256: None, size: 0, path: String::new() });
                    }
                    (2, "version") => {
                        if let Some(chosen) = &mut chosen {
                            let (epoch, version, release) =
                                (attribute(&tag, "epoch")?, attribute(&tag, "ver")?, attribute(&tag, "rel")?);
                            chosen.version = evr(&epoch, &format!("{version}-{release}"));
                        }
                    }
                    (2, "size") => {
                        if let Some(listed) = &mut listed {
                            listed.size = attribute(&tag, "package")?.parse().unwrap_or(0);
                        }
                    }
                    (2, "location") => {
                        // With a base of its own it lies on another server: it stays without a place.
                        if let Some(listed) = listed.as_mut().filter(|_| !has_base(&tag)) {
                            listed.path = attribute(&tag, "href")?;
                        }
                    }
                    (2, "checksum") => kind = attribute(&tag, "type")?,
                    _ => {}
                }
                if !empty {
                    path.push(name);
                }
            }
            Step::Text(text) if path.len() == 3 => {
                if let (Some(chosen), Some(listed)) = (&mut chosen, &mut listed) {
                    match path[2].as_str() {
                        "name" => chosen.name.push_str(&text),
                        "arch" => chosen.architecture.push_str(&text),
                        "checksum" if kind == "sha256" => listed.sha256 = text.parse().ok(),
                        _ => {}
                    }
                }
            }
            Step::Text(_) => {}
            Step::End => {
                path.pop();
                if path.len() == 1
                    && let (Some(chosen), Some(listed)) = (chosen.take(), listed.take())
                {
                    packages.insert(chosen, listed);
                }
            }
            Step::Done => return Ok(packages),
        }
    }
}

fn has_base(tag: &BytesStart<'_>) -> bool {
    tag.try_get_attribute("xml:base").is_ok_and(|base| base.is_some())
}

/// A version as the solvers write it: without an epoch of 0.
pub(super) fn evr(epoch: &str, rest: &str) -> String {
    if matches!(epoch, "" | "0" | "(none)") { rest.to_owned() } else { format!("{epoch}:{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As createrepo_c 0.20 writes it, shortened.
    const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1795264710</revision>
  <data type="primary">
    <checksum type="sha256">311b078211cd3662d3b7387081c17ca9ec115b315e473a05a4a0b430429c7d57</checksum>
    <open-checksum type="sha256">04cc271ca8a18f3f059a07bfcba13341336d7eeee9ef0608b3abdab2c2a76f3c</open-checksum>
    <location href="repodata/311b-primary.xml.gz"/>
    <timestamp>1795264710</timestamp>
  </data>
  <data type="filelists">
    <checksum type="sha256">58190e751d877b6f496b7e41fd631ede31933393c7722f0080e585a248bf5485</checksum>
    <location href="repodata/5819-filelists.xml.gz"/>
    <timestamp>1795264712</timestamp>
  </data>
</repomd>"#;

    const PRIMARY: &str = r#"<metadata xmlns="http://linux.duke.edu/metadata/common" packages="2">
<package type="rpm">
  <name>hello</name>
  <arch>x86_64</arch>
  <version epoch="2" ver="1.0" rel="3"/>
  <checksum type="sha256" pkgid="YES">960d988357e22faa9a667687ec9369befab45ad1e25c76c7355310fd728794d0</checksum>
  <summary>a &amp; b</summary>
  <size package="1084907" installed="1" archive="2"/>
  <location href="h/hello-1.0-3.x86_64.rpm"/>
  <format><rpm:provides><rpm:entry name="x" epoch="9" ver="9" rel="9"/></rpm:provides><name>liar</name></format>
</package>
<package type="rpm"><name>far</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>
  <checksum type="sha">960d988357e22faa9a667687ec9369befab45ad1e25c76c7355310fd728794d0</checksum>
  <location xml:base="http://elsewhere.example/" href="far.rpm"/></package>
</metadata>"#;

    fn named(name: &str, version: &str, architecture: &str) -> Chosen {
        Chosen { name: name.to_owned(), version: version.to_owned(), architecture: architecture.to_owned() }
    }

    #[test]
    fn the_head_names_the_list_and_its_date() {
        let head = head(HEAD).unwrap();
        assert_eq!(head.date.timestamp(), 1_795_264_712);
        assert_eq!(head.primary, "repodata/311b-primary.xml.gz");
        assert!(head.digest.to_string().ends_with("9c7d57"));
    }

    #[test]
    fn a_bad_head_is_refused() {
        for (from, to) in [
            ("repodata/311b-primary.xml.gz", "../../etc/shadow"),
            ("repodata/311b-primary.xml.gz", "http://elsewhere.example//x"),
            ("<checksum type=\"sha256\">311b", "<checksum type=\"sha\">311b"),
            ("<data type=\"primary\">", "<data type=\"other\">"),
            ("</repomd>", "</repo>"),
        ] {
            let bad = HEAD.replacen(from, to, 1);
            assert_ne!(bad, HEAD, "{from}");
            assert!(super::head(&bad).is_err(), "{to}");
        }
        assert!(super::head("").is_err() && super::head("garbage").is_err());
        let dated = HEAD.replace("timestamp", "time");
        assert_eq!(super::head(&dated).unwrap().date.timestamp(), 1_795_264_710);
    }

    #[test]
    fn packages_are_found_by_what_the_solvers_call_them() {
        let packages = primary(PRIMARY.as_bytes()).unwrap();
        assert_eq!(packages.len(), 2);
        let hello = &packages[&named("hello", "2:1.0-3", "x86_64")];
        assert_eq!((hello.size, hello.path.as_str()), (1_084_907, "h/hello-1.0-3.x86_64.rpm"));
        assert!(hello.sha256.is_some());
        let far = &packages[&named("far", "1-1", "noarch")];
        assert!(far.sha256.is_none() && far.path.is_empty());
    }
}
