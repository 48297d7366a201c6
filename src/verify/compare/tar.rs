//! Two tar archives, entry by entry, in one pass.

use super::{Found, Sides, first_byte_of, tree};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Only files up to this size are written out for a closer look, in bytes.
const CLOSER: u64 = 64 << 20;

/// The first entry that differs between two archives compressed with zstd.
pub(super) fn zstd(sides: &Sides<'_>) -> Result<Option<Found>> {
    let mut found = first(sides)?;
    if let Some(found) = &mut found {
        if let [path] = found.place.as_slice() {
            found.pair = pair(sides, path)?;
        }
    }
    Ok(found)
}

type Plain = ::tar::Archive<zstd::Decoder<'static, std::io::BufReader<File>>>;

fn open(path: &Path) -> Result<Plain> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).during(reading)?;
    Ok(::tar::Archive::new(zstd::Decoder::new(file).during(reading)?))
}

fn first(sides: &Sides<'_>) -> Result<Option<Found>> {
    let broken = |e: std::io::Error| Failure::io("reading an archive", &e);
    let (mut a, mut b) = (open(sides.published)?, open(sides.rebuilt)?);
    let (mut a, mut b) = (a.entries().map_err(broken)?, b.entries().map_err(broken)?);
    loop {
        sides.cancel.check()?;
        let (x, y) = (a.next().transpose().map_err(broken)?, b.next().transpose().map_err(broken)?);
        let (mut x, mut y) = match (x, y) {
            (None, None) => return Ok(None),
            (Some(x), None) => return Ok(lone(&x, "not in this build")),
            (None, Some(y)) => return Ok(lone(&y, "not in what is published")),
            (Some(x), Some(y)) => (x, y),
        };
        let (head, other) = (Head::of(&mut x).map_err(broken)?, Head::of(&mut y).map_err(broken)?);
        let found = |what: String| Ok(Some(Found { place: vec![head.path.clone()], what, pair: None }));
        if head.path != other.path {
            return found(format!("in its place this build has {}", other.path));
        }
        if let Some(what) = head.differs(&other) {
            return found(what);
        }
        let (size, other_size) = (x.size(), y.size());
        if let Some(offset) = first_byte_of(&mut x, &mut y, sides.cancel)?.map_err(broken)? {
            return found(tree::content(offset, size, other_size));
        }
    }
}

fn lone(entry: &::tar::Entry<'_, impl Read>, what: &str) -> Option<Found> {
    let place = vec![String::from_utf8_lossy(&entry.path_bytes()).into_owned()];
    Some(Found { place, what: what.to_owned(), pair: None })
}

/// What an entry says about itself.
struct Head {
    path: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn of(entry: &mut ::tar::Entry<'_, impl Read>) -> std::io::Result<Self> {
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|b| String::from_utf8_lossy(&b).into_owned());
        let header = entry.header();
        let mut fields = vec![
            ("kind".to_owned(), format!("{:?}", header.entry_type())),
            ("mode".to_owned(), format!("{:o}", header.mode()?)),
            ("owner".to_owned(), header.uid()?.to_string()),
            ("group".to_owned(), header.gid()?.to_string()),
            ("time of change".to_owned(), header.mtime()?.to_string()),
            ("target".to_owned(), link.unwrap_or_default()),
        ];
        let kind = header.entry_type();
        if kind.is_character_special() || kind.is_block_special() {
            let device = format!("{:?}:{:?}", header.device_major()?, header.device_minor()?);
            fields.push(("device".to_owned(), device));
        }
        for extension in entry.pax_extensions()?.into_iter().flatten() {
            let extension = extension?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            fields.push((text(extension.key_bytes()), text(extension.value_bytes())));
        }
        Ok(Self { path, fields })
    }

    fn differs(&self, other: &Self) -> Option<String> {
        let value = |of: &Self, name: &str| of.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        self.fields.iter().chain(&other.fields).find_map(|(name, _)| {
            let (a, b) = (value(self, name), value(other, name));
            let word = |v: Option<String>| v.unwrap_or_else(|| "absent".to_owned());
            (a != b).then(|| format!("its {name} is {}, {} in this build", word(a), word(b)))
        })
    }
}

/// Both sides' content of one entry as files, for a closer look.
fn pair(sides: &Sides<'_>, path: &str) -> Result<Option<(PathBuf, PathBuf)>> {
    let a = write_out(sides.published, path, &sides.scratch.join("published-entry"))?;
    let b = write_out(sides.rebuilt, path, &sides.scratch.join("rebuilt-entry"))?;
    Ok(a.zip(b))
}

fn write_out(archive: &Path, path: &str, to: &Path) -> Result<Option<PathBuf>> {
    let broken = |e: std::io::Error| Failure::io("reading an archive", &e);
    for entry in open(archive)?.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let wanted = String::from_utf8_lossy(&entry.path_bytes()) == path;
        if wanted && entry.header().entry_type().is_file() && entry.size() <= CLOSER {
            let mut file = File::create(to).during(|| format!("making {}", to.display()))?;
            std::io::copy(&mut entry, &mut file).during(|| format!("writing {}", to.display()))?;
            return Ok(Some(to.to_owned()));
        }
    }
    Ok(None)
}
