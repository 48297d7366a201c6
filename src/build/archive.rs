//! Entries of an image as a tar stream whose bytes depend on nothing but the entries.
//!
//! The form is POSIX.1-2001 pax: a ustar header for each entry, with an extended header
//! before it only where ustar cannot say it (long or non-ASCII names, large numbers).
//! Extended attributes are `SCHILY.xattr.NAME` records, as GNU tar, libarchive and
//! container tools write and read them. Owners are numbers, never names.

use super::entry::{Entry, Kind};
use crate::model::{Failure, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// What a ustar name field holds.
const NAME_FIELD: usize = 100;
/// The largest owner that seven octal digits hold.
const LARGEST_ID: u32 = 0o777_7777;
/// The largest size that eleven octal digits hold.
const LARGEST_SIZE: u64 = 0o777_7777_7777;
/// The largest time that eleven octal digits hold.
const LARGEST_TIME: u64 = LARGEST_SIZE;

/// A tar stream.
#[derive(Debug)]
pub struct Archive<W> {
    to: W,
    name: String,
}

impl<W: Write> Archive<W> {
    /// A stream that is written to `to`; `name` is for messages.
    pub fn new(to: W, name: impl Into<String>) -> Self {
        Self { to, name: name.into() }
    }

    /// Adds one entry of an image with its content. `link` is the path of an entry before
    /// it that is the same file. Sockets and whiteouts are left out: neither is content.
    ///
    /// # Errors
    /// If the entry cannot be read or the stream cannot be written.
    pub fn entry(&mut self, entry: &Entry, link: Option<&Path>) -> Result<()> {
        let mut head = Head::of(entry);
        match (&entry.kind, link) {
            (Kind::Socket | Kind::Whiteout, _) => return Ok(()),
            (Kind::File { .. }, Some(first)) => {
                head.kind = EntryType::Link;
                head.link = first.as_os_str().as_bytes().to_vec();
                // The first name carries them.
                head.xattrs.clear();
            }
            (Kind::File { size }, None) => {
                head.size = *size;
                self.head(&head)?;
                return self.content(&entry.source, *size);
            }
            (Kind::Folder { .. }, _) => {
                head.kind = EntryType::Directory;
                head.name.extend_from_slice(if head.name.is_empty() { b"./" } else { b"/" });
            }
            (Kind::Symlink { target }, _) => {
                head.kind = EntryType::Symlink;
                head.link = target.as_bytes().to_vec();
            }
            (Kind::Device { block, major, minor }, _) => {
                head.kind = if *block { EntryType::Block } else { EntryType::Char };
                head.device = Some((*major, *minor));
            }
            (Kind::Fifo, _) => head.kind = EntryType::Fifo,
        }
        self.head(&head)
    }

    /// Adds a regular file owned by root.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn file(&mut self, name: &[u8], mode: u32, mtime: u64, bytes: &[u8]) -> Result<()> {
        let head = Head { name: name.to_vec(), mode, mtime, size: bytes.len() as u64, ..Head::default() };
        self.head(&head)?;
        self.put(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Adds a regular file of exactly `size` bytes from `reader`, owned by root.
    ///
    /// # Errors
    /// If the reader gives fewer bytes, or the stream cannot be written.
    pub fn stream(&mut self, name: &str, mtime: u64, size: u64, reader: &mut impl Read) -> Result<()> {
        self.head(&Head { name: name.into(), mode: 0o644, mtime, size, ..Head::default() })?;
        self.copy(reader, size, name)
    }

    /// Adds a folder owned by root.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn folder(&mut self, name: &str, mtime: u64) -> Result<()> {
        let kind = EntryType::Directory;
        self.head(&Head { name: format!("{name}/").into(), kind, mode: 0o755, mtime, ..Head::default() })
    }

    /// Writes the end mark and gives the stream's target back.
    ///
    /// # Errors
    /// If the stream cannot be written.
    pub fn finish(mut self) -> Result<W> {
        self.put(&[0; 2 * BLOCK])?;
        self.to.flush().map_err(|e| self.writing(&e))?;
        Ok(self.to)
    }

    fn head(&mut self, head: &Head) -> Result<()> {
        let records = head.records();
        if !records.is_empty() {
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.as_old_mut().name[..12].copy_from_slice(b"PaxHeaders.0");
            extended.set_mode(0o644);
            extended.set_size(records.len() as u64);
            zero_owner_and_time(&mut extended);
            extended.set_cksum();
            self.put(extended.as_bytes())?;
            self.put(&records)?;
            self.pad(records.len() as u64)?;
        }
        let header = head.ustar();
        self.put(header.as_bytes())
    }

    fn content(&mut self, source: &Path, size: u64) -> Result<()> {
        let mut file =
            File::open(source).map_err(|e| Failure::io(format!("opening {}", source.display()), &e))?;
        self.copy(&mut file, size, source.display())
    }

    fn copy(&mut self, from: &mut impl Read, size: u64, name: impl std::fmt::Display) -> Result<()> {
        let mut buffer = vec![0; 1 << 18];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = match from.read(&mut buffer[..most]) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::io(format!("reading {name}"), &e)),
            };
            if n == 0 {
                return Err(Failure::host(format!("{name} became shorter while it was read"))
                    .hint("Does another program change files in the cache folder?"));
            }
            self.put(&buffer[..n])?;
            left -= n as u64;
        }
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if rest == 0 { Ok(()) } else { self.put(&[0; BLOCK][rest..]) }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|e| self.writing(&e))
    }

    fn writing(&self, error: &std::io::Error) -> Failure {
        Failure::io(format!("writing {}", self.name), error)
    }
}

/// Everything that the header of one entry says.
#[derive(Debug)]
struct Head {
    name: Vec<u8>,
    link: Vec<u8>,
    kind: EntryType,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u64,
    size: u64,
    device: Option<(u32, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            name: Vec::new(),
            link: Vec::new(),
            kind: EntryType::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
            device: None,
            xattrs: Vec::new(),
        }
    }
}

impl Head {
    fn of(entry: &Entry) -> Self {
        Self {
            name: entry.name().to_vec(),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime.min(LARGEST_TIME),
            xattrs: entry.xattrs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.clone())).collect(),
            ..Self::default()
        }
    }

    /// The pax records that this entry needs, in a fixed order.
    fn records(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if needs_record(&self.name) {
            record(&mut out, b"path", &self.name);
        }
        if needs_record(&self.link) {
            record(&mut out, b"linkpath", &self.link);
        }
        if self.size > LARGEST_SIZE {
            record(&mut out, b"size", self.size.to_string().as_bytes());
        }
        if self.uid > LARGEST_ID {
            record(&mut out, b"uid", self.uid.to_string().as_bytes());
        }
        if self.gid > LARGEST_ID {
            record(&mut out, b"gid", self.gid.to_string().as_bytes());
        }
        for (name, value) in &self.xattrs {
            record(&mut out, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        out
    }

    fn ustar(&self) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(self.kind);
        let fields = header.as_old_mut();
        fill(&mut fields.name, &self.name);
        fill(&mut fields.linkname, &self.link);
        header.set_mode(self.mode);
        header.set_uid(if self.uid > LARGEST_ID { 0 } else { self.uid.into() });
        header.set_gid(if self.gid > LARGEST_ID { 0 } else { self.gid.into() });
        header.set_mtime(self.mtime);
        header.set_size(if self.size > LARGEST_SIZE { 0 } else { self.size });
        if let (Some((major, minor)), Some(fields)) = (self.device, header.as_ustar_mut()) {
            fields.set_device_major(major);
            fields.set_device_minor(minor);
        }
        header.set_cksum();
        header
    }
}

/// A name that ustar cannot hold gets a record; the field then has its first bytes.
fn needs_record(name: &[u8]) -> bool {
    name.len() > NAME_FIELD || !name.is_ascii()
}

fn fill(field: &mut [u8; NAME_FIELD], name: &[u8]) {
    let n = name.len().min(NAME_FIELD);
    field[..n].copy_from_slice(&name[..n]);
}

fn zero_owner_and_time(header: &mut Header) {
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
}

/// Adds `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits too.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for n in [1, 85, 90, 91, 92, 93, 94, 980, 990, 991, 992, 993, 9980, 9990] {
            let mut out = Vec::new();
            record(&mut out, b"path", &vec![b'a'; n]);
            let text = String::from_utf8(out.clone()).unwrap();
            let length: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, out.len(), "{n}");
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_refused() {
        let mut archive = Archive::new(Vec::new(), "test");
        assert!(archive.stream("x", 0, 10, &mut &b"short"[..]).is_err());
    }

    #[test]
    fn names_that_ustar_cannot_hold_come_back_whole() {
        let long = format!("{}/ü", "d".repeat(120));
        let mut archive = Archive::new(Vec::new(), "test");
        archive.file(long.as_bytes(), 0o600, 7, b"content").unwrap();
        archive.file(b"plain", 0o600, 7, b"").unwrap();
        let bytes = archive.finish().unwrap();
        let mut read = tar::Archive::new(&bytes[..]);
        let names: Vec<_> =
            read.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, [long, "plain".to_owned()]);
    }
}
