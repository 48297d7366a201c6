//! An ext4 file system with a stack's tree in it, made without mounting anything.
//!
//! `mke2fs` makes it empty, `debugfs` fills it, name by name in the union's own order: so the
//! order of blocks and inodes is the same on every host, which `mke2fs -d` leaves to the
//! host's file system. What both would read of this host's configuration is given here.

use super::contents::{self, Volume};
use crate::build::entry::{Entry, Kind};
use crate::build::union::Found;
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Both tools get this long.
const TIME_LIMIT: Duration = Duration::from_mins(30);
/// What GRUB 2.06 and kernels since 4.x read; written out, because defaults change.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// Bytes of disk for each inode.
const BYTES_PER_INODE: u64 = 8192;
const BLOCK: u64 = 4096;
/// Room for the journal and tables of a filesystem that has a size of its own.
const LEAST: u64 = 64 << 20;
/// So many names of a folder fit into the block that is added for them.
const LINKS_PER_BLOCK: usize = 14;

/// Makes a volume's filesystem in `folder`, which exists; its size in bytes.
///
/// # Errors
/// Class *host* if a tool is missing; *spec* for names that cannot be written; *limit* if the
/// content does not fit into the size that was given.
pub fn write(volume: &Volume<'_>, folder: &Path, cancel: &Cancel) -> Result<u64> {
    let files = room(volume.names);
    let needed = files + files / 16 + LEAST;
    let size = match volume.size {
        None => (files + files / 2 + (256 << 20)).next_multiple_of(16 << 20),
        Some(size) if size >= needed => size / BLOCK * BLOCK,
        Some(size) => return Err(contents::too_small("ext4", needed, size)),
    };
    fill(volume, size, folder, cancel)?;
    Ok(size)
}

fn fill(volume: &Volume<'_>, size: u64, folder: &Path, cancel: &Cancel) -> Result<()> {
    let time = volume.epoch.max(0).to_string();
    let config = folder.join("mke2fs.conf");
    std::fs::write(&config, "[defaults]\n").during(|| format!("writing {}", config.display()))?;
    let writing = || format!("writing {}", volume.image.display());
    let _ = std::fs::remove_file(volume.image);
    File::create(volume.image).and_then(|file| file.set_len(size)).during(writing)?;
    let uuid = volume.uuid.to_string();
    Process::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "1", "-L", volume.label])
        .args(["-i", &BYTES_PER_INODE.to_string(), "-U", &uuid, "-O", FEATURES, "-E"])
        .arg(format!("hash_seed={uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0"))
        .arg(volume.image)
        .env("E2FSPROGS_FAKE_TIME", &time)
        .env("MKE2FS_CONFIG", &config)
        .timeout(TIME_LIMIT)
        .check(cancel)?;
    let commands = folder.join("debugfs");
    std::fs::write(&commands, commands_for(volume, folder)?)
        .during(|| format!("writing {}", commands.display()))?;
    let said = folder.join("debugfs.log");
    let output = Process::new("debugfs")
        .args(["-w", "-f"])
        .arg(&commands)
        .arg(volume.image)
        .env("E2FSPROGS_FAKE_TIME", &time)
        .stdout_to(File::create(&said).during(|| format!("writing {}", said.display()))?)
        .timeout(TIME_LIMIT)
        .check(cancel)?;
    // It goes on after a failure and ends well; it only tells.
    let complaints: Vec<String> =
        output.errors().lines().filter(|l| !l.starts_with("debugfs 1.")).map(str::to_owned).collect();
    if complaints.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::BuildStep,
        FailureClass::Bug,
        format!("the root filesystem could not be filled: {}", complaints[0]),
    )
    .details(complaints.join("\n")))
}

/// What debugfs is told.
fn commands_for(volume: &Volume<'_>, folder: &Path) -> Result<Vec<u8>> {
    let epoch = volume.epoch.max(0).unsigned_abs();
    let mut script = Script { epoch, scratch: folder.to_owned(), ..Script::default() };
    for found in volume.names {
        script.entry(&found.entry, found.link.as_deref())?;
    }
    Ok(script.finish())
}

/// What the names take of a filesystem, without room for its own tables.
fn room(names: &[Found]) -> u64 {
    let of = |found: &Found| match (&found.entry.kind, &found.link) {
        (Kind::File { size }, None) => size.next_multiple_of(BLOCK) + 256,
        (Kind::Folder { .. }, _) => BLOCK + 256,
        _ => 256,
    };
    names.iter().map(of).sum()
}

/// Commands of debugfs(8), one a line.
#[derive(Debug, Default)]
struct Script {
    text: Vec<u8>,
    /// The latest time, which every new name has.
    epoch: u64,
    /// Where values of attributes are written, and how many there are.
    scratch: PathBuf,
    values: usize,
    here: PathBuf,
    folders: BTreeSet<PathBuf>,
    /// How many names a file has that has more than one.
    names: BTreeMap<PathBuf, usize>,
    /// How many names were linked in the folder that is filled.
    linked: usize,
    /// Times of folders: they come when nothing more is put into them.
    last: Vec<u8>,
}

impl Script {
    fn line(&mut self, words: &[&[u8]]) {
        line(&mut self.text, words);
    }

    fn go(&mut self, folder: &Path) -> Result<()> {
        if self.here != folder {
            let path = absolute(folder)?;
            self.line(&[b"cd", &path]);
            folder.clone_into(&mut self.here);
            self.linked = 0;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, link: Option<&Path>) -> Result<()> {
        let path = &entry.path;
        let full = absolute(path)?;
        if matches!(entry.kind, Kind::Folder { .. }) {
            self.folder(path)?;
            self.folder_attributes(entry, &full)?;
            return self.xattrs(entry, &full);
        }
        if matches!(entry.kind, Kind::Socket | Kind::Whiteout) {
            return Ok(());
        }
        self.go(path.parent().unwrap_or(Path::new("")))?;
        let name = leaf(path)?;
        if let Some(first) = link {
            return self.link(first, &name);
        }
        match &entry.kind {
            Kind::File { .. } => {
                let source = quoted(entry.source.as_os_str())?;
                self.line(&[b"write", &source, &name]);
            }
            Kind::Symlink { target } => {
                let target = quoted(target)?;
                self.line(&[b"symlink", &name, &target]);
            }
            Kind::Device { block, major, minor } => {
                let kind: &[u8] = if *block { b"b" } else { b"c" };
                let numbers = (major.to_string(), minor.to_string());
                self.line(&[b"mknod", &name, kind, numbers.0.as_bytes(), numbers.1.as_bytes()]);
                self.set(
                    &full,
                    "mode",
                    format!("0{:o}", if *block { 0o060_000 } else { 0o020_000 } | entry.mode),
                );
            }
            Kind::Fifo => {
                self.line(&[b"mknod", &name, b"p"]);
                self.set(&full, "mode", format!("0{:o}", 0o010_000 | entry.mode));
            }
            Kind::Folder { .. } | Kind::Socket | Kind::Whiteout => {}
        }
        if matches!(entry.kind, Kind::File { .. }) {
            // Its own mode would be that of the file on this host, which may have been read
            // before someone changed it.
            self.set(&full, "mode", format!("0{:o}", 0o100_000 | entry.mode));
        }
        for (field, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if id != 0 {
                self.set(&full, field, id.to_string());
            }
        }
        if entry.mtime != self.epoch {
            self.set(&full, "mtime", format!("@{}", entry.mtime));
        }
        self.xattrs(entry, &full)
    }

    /// Makes a folder and those above it, unless they are there.
    fn folder(&mut self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        let above = path.parent().unwrap_or(Path::new(""));
        self.folder(above)?;
        self.folders.insert(path.to_owned());
        if path == Path::new("lost+found") {
            // mke2fs made it.
            return Ok(());
        }
        self.go(above)?;
        let name = leaf(path)?;
        self.line(&[b"mkdir", &name]);
        Ok(())
    }

    fn folder_attributes(&mut self, entry: &Entry, full: &[u8]) -> Result<()> {
        self.set(full, "mode", format!("0{:o}", 0o040_000 | entry.mode));
        for (field, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            self.set(full, field, id.to_string());
        }
        line(&mut self.last, &[b"sif", full, b"mtime", format!("@{}", entry.mtime).as_bytes()]);
        Ok(())
    }

    /// Another name of a file. debugfs neither makes room for it nor counts it.
    fn link(&mut self, first: &Path, name: &[u8]) -> Result<()> {
        if self.linked.is_multiple_of(LINKS_PER_BLOCK) {
            self.line(&[b"expand_dir", b"."]);
        }
        self.linked += 1;
        *self.names.entry(first.to_owned()).or_insert(1) += 1;
        let first = absolute(first)?;
        self.line(&[b"ln", &first, name]);
        Ok(())
    }

    fn xattrs(&mut self, entry: &Entry, full: &[u8]) -> Result<()> {
        for (name, value) in &entry.xattrs {
            // From a file: words of debugfs's language hold no NUL.
            let path = self.scratch.join(format!("xattr-{}", self.values));
            self.values += 1;
            std::fs::write(&path, value).during(|| format!("writing {}", path.display()))?;
            let (name, path) = (quoted(name)?, quoted(path.as_os_str())?);
            self.line(&[b"ea_set", b"-f", &path, full, &name]);
        }
        Ok(())
    }

    fn set(&mut self, full: &[u8], field: &str, value: String) {
        self.line(&[b"sif", full, field.as_bytes(), value.as_bytes()]);
    }

    fn finish(mut self) -> Vec<u8> {
        for (path, names) in std::mem::take(&mut self.names) {
            if let Ok(full) = absolute(&path) {
                self.set(&full, "links_count", names.to_string());
            }
        }
        let last = std::mem::take(&mut self.last);
        self.text.extend(last);
        self.text
    }
}

fn line(text: &mut Vec<u8>, words: &[&[u8]]) {
    for (i, word) in words.iter().enumerate() {
        if i > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
    text.push(b'\n');
}

fn absolute(path: &Path) -> Result<Vec<u8>> {
    quoted(Path::new("/").join(path).as_os_str())
}

/// The last part of a path, as a name in the folder that debugfs is in.
fn leaf(path: &Path) -> Result<Vec<u8>> {
    let name = path.file_name().unwrap_or_default();
    // `<12>` would be an inode.
    if name.as_bytes().starts_with(b"<") {
        return Err(Failure::spec(format!("{}: such a name cannot go onto a disk image", path.display()))
            .hint("Find the package or the overlay file that brings it, and rename or leave it out."));
    }
    quoted(name)
}

/// One word of debugfs's language: between quotes only the quote itself has a meaning, and is
/// written twice (libss, `parse.c`). A line ends a command wherever it stands.
fn quoted(name: &OsStr) -> Result<Vec<u8>> {
    let bytes = name.as_bytes();
    if bytes.iter().any(|b| matches!(b, b'\n' | b'\r' | 0)) {
        return Err(Failure::spec(format!("{name:?}: a name with a line end cannot go onto a disk image"))
            .hint("Find the package or the overlay file that brings it, and rename or leave it out."));
    }
    let mut word = vec![b'"'];
    for byte in bytes {
        word.push(*byte);
        if *byte == b'"' {
            word.push(b'"');
        }
    }
    word.push(b'"');
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_commands() {
        let word = |name: &str| quoted(OsStr::new(name)).map(|w| String::from_utf8(w).unwrap());
        assert_eq!(word("a b").unwrap(), "\"a b\"");
        assert_eq!(word("a\" \"b").unwrap(), "\"a\"\" \"\"b\"");
        assert!(leaf(Path::new("a/<12>")).is_err() && leaf(Path::new("a/b<12>")).is_ok());
        for bad in ["a\nquit", "a\rb", "a\0b"] {
            assert!(word(bad).is_err(), "{bad:?}");
        }
    }
}
