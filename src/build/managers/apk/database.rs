//! apk's stanzas: `X:value` lines, one stanza for each package, in `APKINDEX` and in the
//! database of what is installed; and its files, which are gzip members one after the other
//! (man apk-package, apk-v2).

use crate::build::managers::outside::below_mirror;
use crate::model::lock::LockedPackage;
use crate::model::{Digest, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::GzDecoder;
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;
use std::io::Read;

/// No index is larger than this when it is unpacked.
const INDEX_LIMIT: u64 = 1 << 30;

/// A package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Package(BTreeMap<char, String>);

impl Package {
    /// The value of a field.
    pub(super) fn field(&self, name: char) -> Option<&str> {
        self.0.get(&name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.field('P').unwrap_or_default()
    }

    /// Its version.
    pub(super) fn version(&self) -> &str {
        self.field('V').unwrap_or_default()
    }

    /// The names in a field of relations: `so:libc.musl-x86_64.so.1`, `busybox>=1.36`, `!other`.
    pub(super) fn names(&self, field: char) -> impl Iterator<Item = &str> {
        let words = self.field(field).unwrap_or_default().split_whitespace();
        words.filter(|word| !word.starts_with('!')).map(|word| {
            let end = word.find(['<', '>', '=', '~']).unwrap_or(word.len());
            &word[..end]
        })
    }

    /// Its file in a repository.
    ///
    /// # Errors
    /// *Untrusted* if that would not be a plain name.
    pub(super) fn file(&self) -> Result<String> {
        let name = below_mirror(&format!("{}-{}.apk", self.name(), self.version()))?;
        if name.contains('/') {
            return Err(Failure::untrusted(format!("the index has a bad name: {name:?}")));
        }
        Ok(name)
    }

    /// Size, and the checksum of the file's control part.
    ///
    /// # Errors
    /// Class *upstream* if the index does not say.
    pub(super) fn bytes(&self) -> Result<(u64, String)> {
        let bad =
            |what: &str| Failure::upstream(format!("the index has no usable {what} for {}", self.name()));
        let size = self.field('S').and_then(|s| s.parse().ok()).filter(|size| *size > 0);
        let checksum = self.field('C').filter(|c| c.starts_with("Q1"));
        Ok((size.ok_or_else(|| bad("size"))?, checksum.ok_or_else(|| bad("checksum"))?.to_owned()))
    }

    /// Its entry in a lock.
    pub(super) fn locked(
        &self,
        folder: &str,
        suite: &str,
        layer: &str,
        sha256: Digest,
    ) -> Result<LockedPackage> {
        Ok(LockedPackage {
            name: self
                .name()
                .parse()
                .map_err(|e| Failure::untrusted(format!("the index has a bad name: {e}")))?,
            version: self.version().to_owned(),
            architecture: self.field('A').unwrap_or("noarch").to_owned(),
            sha256,
            size: self.bytes()?.0,
            path: format!("{folder}/{}", self.file()?),
            suite: suite.to_owned(),
            layer: layer.to_owned(),
            wave: 0,
        })
    }
}

/// Reads stanzas. The database has lines of files too, which begin with letters of their own;
/// a package's fields come first.
pub(super) fn parse(text: &str) -> Vec<Package> {
    let stanza = |text: &str| {
        let mut fields = BTreeMap::new();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut letters = key.chars();
            if let (Some(letter), None) = (letters.next(), letters.next()) {
                fields.entry(letter).or_insert_with(|| value.to_owned());
            }
        }
        Package(fields)
    };
    text.split("\n\n").map(stanza).filter(|package| !package.name().is_empty()).collect()
}

/// The parts of a file: their bytes as they are, and unpacked.
fn parts(bytes: &[u8]) -> std::io::Result<Vec<(&[u8], Vec<u8>)>> {
    let (mut rest, mut parts) = (bytes, Vec::new());
    while !rest.is_empty() {
        let mut out = Vec::new();
        let mut reader = GzDecoder::new(rest).take(INDEX_LIMIT);
        reader.read_to_end(&mut out)?;
        let after = reader.into_inner().into_inner().len();
        let (part, more) = rest.split_at(rest.len() - after);
        parts.push((part, out));
        if more.len() == rest.len() {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        rest = more;
    }
    Ok(parts)
}

fn unpacked<'a>(bytes: &'a [u8], name: &str) -> Result<Vec<(&'a [u8], Vec<u8>)>> {
    match parts(bytes) {
        Ok(parts) if !parts.is_empty() => Ok(parts),
        _ => Err(Failure::upstream(format!("{name} is no file of apk's second format"))),
    }
}

/// The text of the index in `APKINDEX.tar.gz`, which is its last part.
///
/// # Errors
/// Class *upstream* if it is none.
pub(super) fn index(bytes: &[u8], name: &str) -> Result<String> {
    let none = || Failure::upstream(format!("{name} has no APKINDEX"));
    let (_, archive) = unpacked(bytes, name)?.pop().ok_or_else(none)?;
    for entry in tar::Archive::new(&archive[..]).entries().map_err(|_| none())? {
        let mut entry = entry.map_err(|_| none())?;
        if &*entry.path_bytes() == b"APKINDEX" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(|_| none())?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
    Err(none())
}

/// The files of a package: its last part, as a tar archive.
///
/// # Errors
/// Class *upstream* if it is none.
pub(super) fn data(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    unpacked(bytes, name)?.pop().map(|(_, data)| data).ok_or_else(|| Failure::bug("a package without parts"))
}

/// Whether a package file is the one that an index means: SHA-1 of its control part, which is
/// the last but one and has the digest of the files.
pub(super) fn is_meant(bytes: &[u8], checksum: &str) -> bool {
    let Ok(parts) = parts(bytes) else { return false };
    let Some((control, _)) = parts.len().checked_sub(2).and_then(|i| parts.get(i)) else { return false };
    format!("Q1{}", STANDARD.encode(Sha1::digest(control))) == checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// As in an index of Alpine, shortened.
    const TEXT: &str = "C:Q1Yj7+o8nK6jUI/w9izpIHezUZJOk=\nP:busybox\nV:1.35-r0\nA:x86_64\nS:1029540\n\
        I:1994670\nT:synthetic: busybox\nL:MIT\nt:1700000000\nD:alpine-baselayout so:libc.musl-x86_64.so.1 !other\n\
        p:/bin/sh cmd:sh=1.35-r0\n\nP:hello\nV:1-r0\nA:noarch\nD:busybox>=1.0 alpine~3\n\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn stanzas_are_read() {
        let packages = parse(TEXT);
        assert_eq!(packages.len(), 2);
        let busybox = &packages[0];
        assert_eq!(busybox.bytes().unwrap(), (1_029_540, "Q1Yj7+o8nK6jUI/w9izpIHezUZJOk=".to_owned()));
        assert_eq!(busybox.names('D').collect::<Vec<_>>(), ["alpine-baselayout", "so:libc.musl-x86_64.so.1"]);
        assert_eq!(busybox.names('p').collect::<Vec<_>>(), ["/bin/sh", "cmd:sh"]);
        assert_eq!(packages[1].names('D').collect::<Vec<_>>(), ["busybox", "alpine"]);
        assert!(packages[1].bytes().is_err());
        let locked = busybox.locked("v3.22/main/x86_64", "3.22", "base", Digest::of("x")).unwrap();
        assert_eq!(locked.path, "v3.22/main/x86_64/busybox-1.35-r0.apk");
        for bad in ["P:../x\nV:1\nS:1\nC:Q1x\n", "P:-x\nV:1\nS:1\nC:Q1x\n", "P:x\nV:1/2\nS:1\nC:Q1x\n"] {
            let package = &parse(bad)[0];
            assert!(package.locked("a", "b", "c", Digest::of("x")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_package_is_known_by_its_control_part() {
        let (signature, control, data) = (gzip(b"signature"), gzip(b"control"), gzip(b"data"));
        let file = [signature, control.clone(), data].concat();
        let checksum = format!("Q1{}", STANDARD.encode(Sha1::digest(&control)));
        assert!(is_meant(&file, &checksum));
        assert!(!is_meant(&file, "Q1x") && !is_meant(b"", &checksum) && !is_meant(&file[..40], &checksum));
        assert_eq!(super::data(&file, "x").unwrap(), b"data");
        assert!(super::data(b"ADBd", "x").is_err() && index(&file, "x").is_err());
    }
}
