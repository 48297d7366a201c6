//! Block maps: which blocks of an image hold data, and their digests.
//!
//! Format: bmap 2.0 as bmaptool writes and reads it (XML). Blocks of 4096 bytes; a range is
//! `first-last` or one number; the map's own checksum is computed with its 64 digits zeroed.
//! Blocks that no range names are the holes of the file as the file system reports them
//! (`SEEK_HOLE`): they read as zeros, and a writer must not leave old bytes there.

use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Size of a block in bytes.
pub const BLOCK_SIZE: u64 = 4096;
/// What stands for the map's own checksum while it is computed.
const ZEROED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The map of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// The ranges that hold data, sorted, apart from one another.
    pub ranges: Vec<Range>,
}

/// Blocks that hold data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first block.
    pub first: u64,
    /// The last block, included.
    pub last: u64,
    /// SHA-256 of their bytes (the image's last block may be short).
    pub sha256: Digest,
}

impl BlockMap {
    /// Reads the whole image and maps it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let reading = || format!("reading {}", path.display());
        let mut file = File::open(path).during(|| format!("opening {}", path.display()))?;
        let image_size = file.metadata().during(reading)?.len();
        let mut ranges = Vec::new();
        for (first, last) in extents(&file, image_size).during(reading)? {
            let sha256 = digest_range(&mut file, first, last, image_size).during(reading)?;
            ranges.push(Range { first, last, sha256 });
        }
        Ok(Self { image_size, ranges })
    }

    /// Number of blocks of the image, the last one perhaps short.
    pub fn blocks(&self) -> u64 {
        self.image_size.div_ceil(BLOCK_SIZE)
    }

    /// Number of blocks that hold data.
    pub fn mapped(&self) -> u64 {
        self.ranges.iter().map(|r| r.last - r.first + 1).sum()
    }

    /// The XML text.
    pub fn to_xml(&self) -> String {
        let text = self.xml_with(ZEROED);
        self.xml_with(&Digest::of(&text).hex())
    }

    fn xml_with(&self, checksum: &str) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    \
             <BlockSize> {BLOCK_SIZE} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    <BlockMap>\n",
            self.image_size,
            self.blocks(),
            self.mapped(),
        );
        for Range { first, last, sha256 } in &self.ranges {
            let blocks = if first == last { first.to_string() } else { format!("{first}-{last}") };
            let _ = writeln!(text, "        <Range chksum=\"{}\"> {blocks} </Range>", sha256.hex());
        }
        text.push_str("    </BlockMap>\n</bmap>\n");
        text
    }

    /// Reads the XML text of a version-2 map and checks it against its own checksum.
    ///
    /// # Errors
    /// *Untrusted* if the checksum is wrong, ranges overlap or leave the image, or a field is
    /// missing.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Failure::untrusted(format!("not a block map: {why}"));
        // Only elements count: a comment may quote their names.
        let bare = without_comments(text).ok_or_else(|| refuse("a comment does not end"))?;
        let field = |name: &str| element(&bare, name).ok_or_else(|| refuse(&format!("no {name}")));
        let number = |name: &str| -> Result<u64> {
            field(name)?.parse().map_err(|_| refuse(&format!("{name} is no number")))
        };
        if !bare.contains("<bmap version=\"2.") {
            return Err(refuse("its version is not 2"));
        }
        if field("ChecksumType")? != "sha256" || number("BlockSize")? != BLOCK_SIZE {
            return Err(refuse("another checksum than sha256, or another block size than 4096"));
        }
        let checksum = field("BmapFileChecksum")?;
        if checksum.len() != ZEROED.len() || !checksum.is_ascii() {
            return Err(refuse("its checksum has another length"));
        }
        if Digest::of(text.replacen(checksum, ZEROED, 1)).hex() != checksum {
            return Err(refuse("its checksum is wrong"));
        }
        let map = Self {
            image_size: number("ImageSize")?,
            ranges: ranges(&bare).ok_or_else(|| refuse("a bad range"))?,
        };
        let apart = map.ranges.windows(2).all(|w| w[0].last < w[1].first);
        let inside = map.ranges.last().is_none_or(|r| r.last < map.blocks());
        if !apart || !inside || map.ranges.iter().any(|r| r.first > r.last) {
            return Err(refuse("its ranges overlap or leave the image"));
        }
        if number("BlocksCount")? != map.blocks() || number("MappedBlocksCount")? != map.mapped() {
            return Err(refuse("its counts are wrong"));
        }
        Ok(map)
    }
}

/// The ranges of blocks that hold data, by `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).
fn extents(file: &File, size: u64) -> std::io::Result<Vec<(u64, u64)>> {
    use rustix::fs::SeekFrom as Seek;
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(file, Seek::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole from here to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(e) => return Err(e.into()),
        };
        let hole = rustix::fs::seek(file, Seek::Hole(data))?.min(size);
        if data >= size {
            break;
        }
        let (first, last) = (data / BLOCK_SIZE, (hole - 1) / BLOCK_SIZE);
        match found.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = last.max(before.1),
            _ => found.push((first, last)),
        }
        at = hole;
    }
    Ok(found)
}

fn digest_range(file: &mut File, first: u64, last: u64, size: u64) -> std::io::Result<Digest> {
    let (start, end) = (first * BLOCK_SIZE, ((last + 1) * BLOCK_SIZE).min(size));
    file.seek(SeekFrom::Start(start))?;
    let (mut hash, mut left) = (Sha256::new(), end - start);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact(&mut buffer[..want])?;
        hash.update(&buffer[..want]);
        left -= want as u64;
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

fn without_comments(text: &str) -> Option<String> {
    let (mut bare, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("<!--") {
        bare.push_str(before);
        rest = after.split_once("-->")?.1;
    }
    bare.push_str(rest);
    Some(bare)
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    Some(after.split_once(&format!("</{name}>"))?.0.trim())
}

fn ranges(text: &str) -> Option<Vec<Range>> {
    element(text, "BlockMap")?
        .split("</Range>")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (digest, blocks) = part.strip_prefix("<Range chksum=\"")?.split_once("\">")?;
            let (first, last) = blocks.trim().split_once('-').unwrap_or((blocks.trim(), blocks.trim()));
            let last = last.trim().parse().ok().filter(|n| *n < u64::MAX / BLOCK_SIZE)?;
            Some(Range { first: first.trim().parse().ok()?, last, sha256: digest.parse().ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt;

    fn sparse(dir: &Path) -> std::path::PathBuf {
        let path = dir.join("image");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"start", 0).unwrap();
        file.write_all_at(&[7; 10_000], 400_000).unwrap();
        file.write_all_at(b"end", (1 << 20) + 100).unwrap();
        path
    }

    fn bmaptool(dir: &Path, map: &str) -> crate::effects::Output {
        std::fs::write(dir.join("image.bmap"), map).unwrap();
        Process::new("bmaptool")
            .args(["copy", "--bmap"])
            .arg(dir.join("image.bmap"))
            .arg(dir.join("image"))
            .arg(dir.join("copy"))
            .run(&Cancel::default())
            .unwrap()
    }

    #[test]
    fn bmaptool_copies_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let map = BlockMap::of(&path).unwrap();
        assert_eq!(map.ranges.len(), 3);
        let text = map.to_xml();
        assert_eq!(BlockMap::parse(&text).unwrap(), map);
        let output = bmaptool(dir.path(), &text);
        assert!(output.status.success(), "{}", output.tail());
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(dir.path().join("copy")).unwrap());
        let other = map.ranges[1].sha256.hex();
        assert!(!bmaptool(dir.path(), &text.replace(&other, &Digest::of("x").hex())).status.success());
    }

    #[test]
    fn bmaptools_own_map_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = sparse(dir.path());
        let theirs = Process::new("bmaptool").arg("create").arg(&path).check(&Cancel::default()).unwrap();
        assert_eq!(BlockMap::parse(&theirs.text()).unwrap(), BlockMap::of(&path).unwrap());
    }

    #[test]
    fn a_file_without_holes_is_one_range_and_an_empty_one_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("iso");
        File::create(&path).unwrap().write_all(&vec![1; 3 * 4096 + 2048]).unwrap();
        let map = BlockMap::of(&path).unwrap();
        assert_eq!((map.blocks(), map.mapped(), map.ranges.len()), (4, 4, 1));
        assert_eq!(map.ranges[0].sha256, Digest::of(vec![1; 3 * 4096 + 2048]));
        std::fs::write(&path, "").unwrap();
        let empty = BlockMap::of(&path).unwrap();
        assert_eq!(BlockMap::parse(&empty.to_xml()).unwrap(), empty);
    }

    #[test]
    fn hostile_maps_are_refused() {
        let range = |first, last| Range { first, last, sha256: Digest::of("x") };
        let map = |ranges| BlockMap { image_size: 10 * 4096, ranges }.to_xml();
        BlockMap::parse(&map(vec![range(0, 3), range(5, 9)])).unwrap();
        for bad in [
            map(vec![range(0, 3), range(3, 9)]),
            map(vec![range(0, 10)]),
            map(vec![range(0, 3)]).replace("> 10 <", "> 11 <"),
            map(vec![range(0, 3)]).replace("version=\"2.0\"", "version=\"1.3\""),
            map(vec![range(0, 3)]).replace("sha256 <", "sha1 <"),
            map(vec![range(0, 3)]).replace("</BlockMap>", ""),
            map(vec![range(0, 3)]).replace("0-3", "3-0"),
            format!("<!-- {}", map(vec![range(0, 3)])),
            String::new(),
        ] {
            assert!(BlockMap::parse(&bad).is_err(), "{bad}");
        }
    }
}
