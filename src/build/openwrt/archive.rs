//! An Image Builder's archive → a folder, without following what the archive says about places.
//!
//! One top folder is taken off, what is in it keeps its modes and dates: `make` goes by both.
//! Nothing is written through a link, and a link may not lead out of the tree, but for those
//! that real archives have: `staging_dir/host/bin/NAME` is where the machine that made them had
//! a tool (`/usr/bin/NAME`), and `make` sets each anew for the host before it uses it.

use crate::effects::Cancel;
use crate::effects::fetch::chain;
use crate::effects::files::free_space;
use crate::model::failure::IoContext;
use crate::model::openwrt::Compression;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use tar::{EntryType, Header};

/// Where links to tools of the host may be.
const HOST_TOOLS: &str = "staging_dir/host/bin";
/// Where those tools are.
const TOOL_FOLDERS: [&str; 6] =
    ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
/// Memory that a decompressor may take, in KiB; xz -9 wants 65 MiB.
const XZ_MEMORY: u32 = 128 << 10;
/// The longest record before an entry: a long name, pax fields. Kept in memory.
const LONGEST_RECORD: u64 = 64 << 10;
/// Space that stays free on the disk, in bytes.
const RESERVE: u64 = 512 << 20;

/// How much an archive may unpack to: a few bytes can unpack to any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive when it is decompressed.
    pub bytes: u64,
    /// Names in it.
    pub entries: u64,
}

impl Default for Limits {
    /// Far above the largest Image Builder, which has 2 GiB and 40,000 names.
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 500_000 }
    }
}

/// Unpacks an archive into `root`, an empty folder.
///
/// # Errors
/// *Untrusted* if it wants to write elsewhere, has a device or is larger than it may be; class
/// *upstream* if it is broken, *host* if the disk is full.
pub fn unpack(
    archive: &Path,
    compression: Compression,
    root: &Path,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<()> {
    let file = File::open(archive).during(|| format!("opening {}", archive.display()))?;
    let file = BufReader::with_capacity(1 << 17, file);
    let plain: Box<dyn Read> = match compression {
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(file, true, XZ_MEMORY)),
        Compression::Zstd => {
            Box::new(zstd::Decoder::with_buffer(file).during(|| format!("reading {}", archive.display()))?)
        }
    };
    let space = free_space(root)?.saturating_sub(RESERVE);
    let mut plain = plain.take(limits.bytes.min(space));
    let done = Unpacking { root, limits, cancel, top: None, folders: Vec::new() }.run(&mut plain);
    if plain.limit() == 0 {
        return Err(match space < limits.bytes {
            true => Failure::disk_full(format!(
                "the Image Builder unpacks to more than the {space} bytes that are free"
            )),
            false => too_large(),
        });
    }
    done
}

fn too_large() -> Failure {
    Failure::untrusted("the archive unpacks to more than an Image Builder can be")
        .hint("Whoever signed it signed no Image Builder: ask another mirror, and tell who runs this one.")
}

fn refused(what: &str, name: &[u8]) -> Failure {
    Failure::untrusted(format!("the archive has {what}: {}", name.escape_ascii()))
        .hint("This is no Image Builder of OpenWrt; nothing of it was kept.")
}

fn broken(error: &std::io::Error) -> Failure {
    match Failure::io("unpacking the archive", error) {
        ours if matches!(ours.code, ErrorCode::DiskFull | ErrorCode::Permission) => ours,
        _ => Failure::new(
            ErrorCode::Corrupt,
            FailureClass::Upstream,
            format!("the archive is broken: {}", chain(error)),
        ),
    }
}

struct Unpacking<'a> {
    root: &'a Path,
    limits: &'a Limits,
    cancel: &'a Cancel,
    /// The folder that everything is in.
    top: Option<Vec<u8>>,
    /// Folders with their modes and dates, which are set last: what is put into one dates it.
    folders: Vec<(PathBuf, u32, i64)>,
}

/// What stood before an entry: names that do not fit into its header.
#[derive(Default)]
struct Before {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Unpacking<'_> {
    fn run(mut self, plain: &mut impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(plain);
        // Raw: the crate would read a name of any length into memory.
        let entries = archive.entries().map_err(|e| broken(&e))?.raw(true);
        let (mut before, mut count) = (Before::default(), 0);
        for entry in entries {
            self.cancel.check()?;
            let mut entry = entry.map_err(|e| broken(&e))?;
            count += 1;
            if count > self.limits.entries {
                return Err(too_large());
            }
            let header = entry.header().clone();
            match header.entry_type() {
                EntryType::GNULongName => before.name = Some(record(&mut entry)?),
                EntryType::GNULongLink => before.link = Some(record(&mut entry)?),
                EntryType::XHeader => pax(&mut entry, &mut before)?,
                EntryType::XGlobalHeader => drop(record(&mut entry)?),
                kind => {
                    let names = std::mem::take(&mut before);
                    let name = names.name.unwrap_or_else(|| header.path_bytes().into_owned());
                    let link = names.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
                    self.put(kind, &header, &name, &link.unwrap_or_default(), &mut entry)?;
                }
            }
        }
        // The innermost first.
        for (folder, mode, date) in self.folders.into_iter().rev() {
            finish(&folder, mode, date)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        kind: EntryType,
        header: &Header,
        name: &[u8],
        link: &[u8],
        content: &mut impl Read,
    ) -> Result<()> {
        let Some(path) = self.below_top(name)? else { return Ok(()) };
        let mode = header.mode().map_err(|e| broken(&e))? & 0o777;
        let date = header.mtime().map_err(|e| broken(&e))?;
        let date = i64::try_from(date).map_err(|_| refused("a date that no clock knows", name))?;
        let at = self.root.join(&path);
        self.make_parents(&path, name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&at)
                    .map_err(|e| twice(&e, name))?;
                let size = header.size().map_err(|e| broken(&e))?;
                let written = std::io::copy(content, &mut file).map_err(|e| broken(&e))?;
                if written != size {
                    return Err(broken(&std::io::ErrorKind::UnexpectedEof.into()));
                }
                drop(file);
                finish(&at, mode, date)
            }
            EntryType::Directory => {
                match std::fs::create_dir(&at) {
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && is_folder(&at) => {}
                    Err(e) => return Err(twice(&e, name)),
                    Ok(()) => {}
                }
                self.folders.push((at, mode | 0o700, date));
                Ok(())
            }
            EntryType::Symlink => {
                if !stays(&path, link) && !is_host_tool(&path, link) {
                    return Err(refused("a link that leads out", name));
                }
                std::os::unix::fs::symlink(OsStr::from_bytes(link), &at).map_err(|e| twice(&e, name))
            }
            EntryType::Link => {
                let target =
                    self.below_top(link)?.ok_or_else(|| refused("a link to its top folder", name))?;
                let target_at = self.root.join(&target);
                if !self.is_plain(&target) || !is_file(&target_at) {
                    return Err(refused("a hard link to what is no file of it", name));
                }
                std::fs::hard_link(&target_at, &at).map_err(|e| twice(&e, name))
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => Err(refused("a device", name)),
            _ => Err(refused("an entry of an unknown kind", name)),
        }
    }

    /// Where a name is below the top folder; none for the folder itself.
    fn below_top(&mut self, name: &[u8]) -> Result<Option<PathBuf>> {
        if name.contains(&0) {
            return Err(refused("a name that cannot be", name));
        }
        let mut parts = Vec::new();
        for part in Path::new(OsStr::from_bytes(name)).components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(refused("an entry outside of its folder", name)),
            }
        }
        let Some((top, rest)) = parts.split_first() else { return Ok(None) };
        let known = self.top.get_or_insert_with(|| top.as_bytes().to_vec());
        if known != top.as_bytes() {
            return Err(refused("a second top folder", name));
        }
        Ok((!rest.is_empty()).then(|| rest.iter().collect()))
    }

    /// Makes the folders that lead to a path; each must be one, and no link.
    fn make_parents(&self, path: &Path, name: &[u8]) -> Result<()> {
        let mut at = self.root.to_owned();
        for part in path.parent().into_iter().flat_map(Path::components) {
            at.push(part);
            match std::fs::create_dir(&at) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && is_folder(&at) => {}
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(refused("an entry below what is no folder", name));
                }
                made => made.during(|| format!("making {}", at.display()))?,
            }
        }
        Ok(())
    }

    /// Whether a path leads over folders only.
    fn is_plain(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|folder| is_folder(&self.root.join(folder)))
    }
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file())
}

fn twice(error: &std::io::Error, name: &[u8]) -> Failure {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => refused("a name twice", name),
        _ => broken(error),
    }
}

/// Sets mode and date, whatever the umask is.
fn finish(path: &Path, mode: u32, date: i64) -> Result<()> {
    let setting = || format!("setting mode and date of {}", path.display());
    std::fs::set_permissions(path, Permissions::from_mode(mode)).during(setting)?;
    let time = Timespec { tv_sec: date, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| Failure::io(setting(), &e.into()))
}

/// Whether a link at `path` leads to somewhere in the tree. Read as text, which is right as long
/// as no folder on the way is a link; where one is, it leads to a folder of the tree as well,
/// and only a way that climbs must be refused.
fn stays(path: &Path, link: &[u8]) -> bool {
    let mut depth = path.components().count() - 1;
    let mut descended = false;
    if link.is_empty() || link.contains(&0) {
        return false;
    }
    for part in Path::new(OsStr::from_bytes(link)).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => {
                depth += 1;
                descended = true;
            }
            // Behind a name that may be a link nobody knows where `..` is.
            Component::ParentDir if descended || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// Whether a link is to a tool of the host, where Image Builders have such.
fn is_host_tool(path: &Path, link: &[u8]) -> bool {
    let Ok(link) = std::str::from_utf8(link) else { return false };
    let Some((folder, tool)) = link.rsplit_once('/') else { return false };
    let plain = !tool.is_empty()
        && !tool.starts_with('.')
        && tool.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b));
    path.parent() == Some(Path::new(HOST_TOOLS)) && TOOL_FOLDERS.contains(&folder) && plain
}

/// The content of a record before an entry.
fn record(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_RECORD + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err(refused("a name that is too long", &bytes[..64]));
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// Reads the names among pax fields.
fn pax(entry: &mut impl Read, before: &mut Before) -> Result<()> {
    let bytes = record(entry)?;
    for field in tar::PaxExtensions::new(&bytes) {
        let field = field.map_err(|e| broken(&e))?;
        match field.key_bytes() {
            b"path" => before.name = Some(field.value_bytes().to_vec()),
            b"linkpath" => before.link = Some(field.value_bytes().to_vec()),
            // It would mean another length than the header says.
            b"size" => {
                return Err(refused("a file of 8 GiB or more", before.name.as_deref().unwrap_or_default()));
            }
            _ => {}
        }
    }
    Ok(())
}
