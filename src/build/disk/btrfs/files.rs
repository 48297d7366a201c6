//! Files and folders as items of their subvolume's tree; their bytes, compressed or not, one
//! behind the other in the image.

use super::DATA;
use super::format::{
    GENERATION, Inode, Key, Record, SECTOR, key, kind, link_hash, name_hash, named, object, short, sum,
};
use super::tree::Items;
use super::trees::DATA_AT;
use crate::build::entry::{Entry, Kind};
use crate::build::union::Found;
use crate::effects::Cancel;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Files up to this size lie in the tree itself.
const INLINE: u64 = 2048;
/// So much is compressed at once, and read at once.
const PIECE: usize = 128 << 10;
/// The longest extent that the kernel writes.
const LONGEST: u64 = 128 << 20;
/// The kernel's own level.
const LEVEL: i32 = 3;
/// So many bytes of names lie in one item; further ones have items of their own.
const NAMES: usize = 4000;
/// Compressed by zstd, in an extent's item.
const ZSTD: u8 = 3;
/// The first index that a folder gives to a name.
const FIRST_INDEX: u64 = 2;

/// Bytes that are allocated, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub at: u64,
    pub length: u64,
    pub subvolume: u64,
    pub inode: u64,
    pub offset: u64,
}

/// The data of a filesystem, written as it comes.
#[derive(Debug)]
pub struct Data<'a> {
    pub image: &'a File,
    pub path: &'a Path,
    pub compress: bool,
    /// Bytes that are used.
    pub used: u64,
    pub extents: Vec<Extent>,
    /// One for each block.
    pub sums: Vec<u32>,
}

impl Data<'_> {
    /// Puts down bytes, filled up to whole blocks; where they are.
    fn put(&mut self, bytes: &[u8]) -> Result<u64> {
        let mut blocks = bytes.to_vec();
        blocks.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
        let at = DATA + self.used;
        self.image
            .write_all_at(&blocks, DATA_AT + self.used)
            .during(|| format!("writing {}", self.path.display()))?;
        self.sums.extend(blocks.chunks(SECTOR as usize).map(sum));
        self.used += blocks.len() as u64;
        Ok(at)
    }
}

/// One tree of files.
#[derive(Debug)]
pub struct Subvolume {
    items: Items,
    inodes: Vec<Inode>,
    /// The next index of each folder.
    indices: BTreeMap<u64, u64>,
    /// The names of each file, by the folder that they are in.
    names: BTreeMap<u64, Vec<(u64, u64, Vec<u8>)>>,
    paths: BTreeMap<PathBuf, u64>,
}

/// A piece of a file that is next to others like it.
struct Run {
    at: u64,
    offset: u64,
    length: u64,
}

impl Subvolume {
    /// An empty one, whose root is what `root` says.
    ///
    /// # Errors
    /// Class *spec* if an attribute is too long.
    pub fn new(root: &Entry) -> Result<Self> {
        let mut new = Self {
            items: Items::new(),
            inodes: Vec::new(),
            indices: BTreeMap::new(),
            names: BTreeMap::new(),
            paths: BTreeMap::new(),
        };
        let number = new.inode(root, 0o040_000, 0)?;
        new.items.insert(key(number, kind::INODE_REF, number), reference(0, b".."));
        new.paths.insert(PathBuf::new(), number);
        Ok(new)
    }

    fn inode(&mut self, entry: &Entry, format: u32, device: u64) -> Result<u64> {
        let number = object::FIRST_FREE + self.inodes.len() as u64;
        self.inodes.push(Inode {
            links: 1,
            uid: entry.uid,
            gid: entry.gid,
            mode: format | entry.mode,
            device,
            time: entry.mtime,
            ..Inode::default()
        });
        for (name, value) in &entry.xattrs {
            let name = name.as_bytes();
            if name.len() + value.len() > 8 << 10 {
                return Err(Failure::spec(format!(
                    "{}: its attribute {} has {} bytes, too many for Btrfs",
                    entry.path.display(),
                    name.escape_ascii(),
                    value.len()
                ))
                .hint("Find what sets it and make it shorter, or write another `filesystem.root`."));
            }
            let at = key(number, kind::XATTR, name_hash(name));
            self.items.entry(at).or_default().extend(named(key(0, 0, 0), name, XATTR_ENTRY, value));
        }
        Ok(number)
    }

    fn of(&mut self, number: u64) -> &mut Inode {
        // Numbers are given out by `inode` alone, one after the other.
        &mut self.inodes[usize::try_from(number - object::FIRST_FREE).unwrap_or(0)]
    }

    /// Puts a name into its folder.
    fn name(&mut self, path: &Path, location: Key, entry_kind: u8) -> Result<()> {
        let above = path.parent().unwrap_or(Path::new(""));
        let Some(folder) = self.paths.get(above).copied() else {
            return Err(Failure::bug(format!("{} comes before its folder", path.display())));
        };
        let name = path.file_name().unwrap_or(OsStr::new("")).as_bytes();
        let index = self.indices.entry(folder).or_insert(FIRST_INDEX);
        let (here, next) = (*index, *index + 1);
        *index = next;
        let item = named(location, name, entry_kind, b"");
        self.items.insert(key(folder, kind::DIR_INDEX, here), item.clone());
        self.items.entry(key(folder, kind::DIR_ITEM, name_hash(name))).or_default().extend(item);
        self.of(folder).size += 2 * name.len() as u64;
        if location.kind == kind::INODE {
            self.names.entry(location.object).or_default().push((folder, here, name.to_vec()));
        }
        Ok(())
    }

    /// Gives a subvolume a name in the root; its index there.
    ///
    /// # Errors
    /// Class *bug* if there is no root.
    pub fn mount(&mut self, name: &str, id: u64) -> Result<u64> {
        let root = self.paths.get(Path::new("")).copied().unwrap_or(object::FIRST_FREE);
        self.name(Path::new(name), key(id, kind::ROOT, u64::MAX), FOLDER_ENTRY)?;
        Ok(self.indices.get(&root).map_or(0, |next| next - 1))
    }

    /// Takes up one name, with its bytes, as subvolume `id`.
    ///
    /// # Errors
    /// If its file cannot be read; *spec* if an attribute is too long; *cancelled* on request.
    pub fn add(&mut self, found: &Found, (id, data): (u64, &mut Data<'_>), cancel: &Cancel) -> Result<()> {
        let entry = &found.entry;
        let path = &entry.path;
        if let Some(first) = found.link.as_ref().and_then(|first| self.paths.get(first).copied()) {
            self.of(first).links += 1;
            return self.name(path, key(first, kind::INODE, 0), FILE_ENTRY);
        }
        let (format, entry_kind, device) = match &entry.kind {
            Kind::Folder { .. } => (0o040_000, FOLDER_ENTRY, 0),
            Kind::File { .. } => (0o100_000, FILE_ENTRY, 0),
            Kind::Symlink { .. } => (0o120_000, LINK_ENTRY, 0),
            Kind::Device { block, major, minor } => {
                let device = u64::from(*major) << 20 | u64::from(*minor);
                if *block { (0o060_000, BLOCK_ENTRY, device) } else { (0o020_000, CHARACTER_ENTRY, device) }
            }
            Kind::Fifo => (0o010_000, FIFO_ENTRY, 0),
            Kind::Socket | Kind::Whiteout => return Ok(()),
        };
        let number = self.inode(entry, format, device)?;
        self.name(path, key(number, kind::INODE, 0), entry_kind)?;
        match &entry.kind {
            Kind::Symlink { target } => self.inline(number, target.as_bytes()),
            Kind::File { size } => {
                self.file(number, (&entry.source, *size), (id, data), cancel)?;
                if entry.linked.is_some() {
                    self.paths.insert(path.clone(), number);
                }
            }
            Kind::Folder { .. } => drop(self.paths.insert(path.clone(), number)),
            _ => {}
        }
        Ok(())
    }

    fn inline(&mut self, number: u64, bytes: &[u8]) {
        let size = bytes.len() as u64;
        let inode = self.of(number);
        (inode.size, inode.bytes) = (size, size);
        let item = extent_head(size, 0, 0).bytes(bytes).0;
        self.items.insert(key(number, kind::EXTENT_DATA, 0), item);
    }

    fn file(
        &mut self,
        number: u64,
        (source, size): (&Path, u64),
        (id, data): (u64, &mut Data<'_>),
        cancel: &Cancel,
    ) -> Result<()> {
        let reading = || format!("reading {}", source.display());
        if size == 0 {
            return Ok(());
        }
        let mut from = File::open(source).during(reading)?.take(size);
        if size <= INLINE {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).during(reading)?;
            same_size(source, size, bytes.len() as u64)?;
            self.inline(number, &bytes);
            return Ok(());
        }
        let mut piece = Vec::with_capacity(PIECE);
        let (mut offset, mut run) = (0, None::<Run>);
        while offset < size {
            cancel.check()?;
            piece.clear();
            from.by_ref().take(PIECE as u64).read_to_end(&mut piece).during(reading)?;
            if piece.is_empty() {
                break;
            }
            let length = piece.len() as u64;
            piece.resize(piece.len().next_multiple_of(SECTOR as usize), 0);
            let whole = piece.len() as u64;
            if piece.iter().all(|byte| *byte == 0) {
                self.end(number, run.take(), (id, &mut *data));
            } else if let Some(packed) = packed(&piece, data.compress)? {
                self.end(number, run.take(), (id, &mut *data));
                let at = data.put(&packed)?;
                let on_disk = (packed.len() as u64).next_multiple_of(SECTOR);
                self.extent(number, (offset, whole), (at, on_disk), ZSTD, (id, &mut *data));
            } else {
                let at = data.put(&piece)?;
                match &mut run {
                    Some(run) if run.length + whole <= LONGEST => run.length += whole,
                    _ => self.end(number, run.replace(Run { at, offset, length: whole }), (id, &mut *data)),
                }
            }
            offset += length;
        }
        self.end(number, run, (id, data));
        self.of(number).size = size;
        same_size(source, size, offset)
    }

    fn end(&mut self, number: u64, run: Option<Run>, to: (u64, &mut Data<'_>)) {
        if let Some(run) = run {
            self.extent(number, (run.offset, run.length), (run.at, run.length), 0, to);
        }
    }

    fn extent(
        &mut self,
        number: u64,
        (offset, length): (u64, u64),
        (at, on_disk): (u64, u64),
        compression: u8,
        (id, data): (u64, &mut Data<'_>),
    ) {
        let item = extent_head(length, compression, 1).u64s(&[at, on_disk, 0, length]).0;
        self.items.insert(key(number, kind::EXTENT_DATA, offset), item);
        self.of(number).bytes += length;
        data.extents.push(Extent { at, length: on_disk, subvolume: id, inode: number, offset });
    }

    /// Its items, complete.
    pub fn finish(mut self) -> Items {
        for (inode, number) in self.inodes.iter().zip(object::FIRST_FREE..) {
            self.items.insert(key(number, kind::INODE, 0), inode.item());
        }
        for (number, names) in self.names {
            for (folder, index, name) in names {
                let all = self.items.entry(key(number, kind::INODE_REF, folder)).or_default();
                if all.len() + name.len() + 10 <= NAMES {
                    all.extend(reference(index, &name));
                    continue;
                }
                let at = key(number, kind::INODE_EXTREF, link_hash(folder, &name));
                let more = Record::default().u64(folder).u64(index).u16(short(name.len())).bytes(&name).0;
                self.items.entry(at).or_default().extend(more);
            }
        }
        self.items
    }
}

/// How the kernel calls kinds of names in a folder.
const FILE_ENTRY: u8 = 1;
const FOLDER_ENTRY: u8 = 2;
const CHARACTER_ENTRY: u8 = 3;
const BLOCK_ENTRY: u8 = 4;
const FIFO_ENTRY: u8 = 5;
const LINK_ENTRY: u8 = 7;
const XATTR_ENTRY: u8 = 8;

fn reference(index: u64, name: &[u8]) -> Vec<u8> {
    Record::default().u64(index).u16(short(name.len())).bytes(name).0
}

/// The head of an extent's item: the bytes that it stands for, how they are packed, and
/// whether they lie in the item (0) or elsewhere (1).
fn extent_head(length: u64, compression: u8, elsewhere: u8) -> Record {
    Record::default().u64s(&[GENERATION, length]).u8(compression).u8(0).u16(0).u8(elsewhere)
}

/// The piece as zstd packs it, if that spares a block.
fn packed(piece: &[u8], compress: bool) -> Result<Option<Vec<u8>>> {
    if !compress {
        return Ok(None);
    }
    let packed = zstd::bulk::compress(piece, LEVEL).during(|| "compressing a file".to_owned())?;
    Ok((packed.len().next_multiple_of(SECTOR as usize) < piece.len()).then_some(packed))
}

fn same_size(source: &Path, wanted: u64, found: u64) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Failure::bug(format!("{} has {found} bytes, not {wanted}", source.display())))
}
