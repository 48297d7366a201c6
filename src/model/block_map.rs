//! Block maps: which blocks of an image hold data, and their digests.
//!
//! Format: bmap 2.0 as bmaptool writes and reads it (XML; its `BmapCreate.py` describes it). A range
//! is `first-last` or one number; the map's own checksum is computed with its digits zeroed where they
//! stand first. What no range names reads as zeros in the image, and must be zero on a card too: on a
//! used one old bytes would be there otherwise.

use super::{Digest, Failure, Result};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Size of a block in the maps that are written here, in bytes.
pub const BLOCK_SIZE: u64 = 4096;
/// No map that is read is longer, in bytes.
pub const LONGEST: u64 = 16 << 20;
/// No map has more ranges.
const MOST_RANGES: usize = 1 << 17;
/// What stands for the map's own checksum while it is computed.
const ZEROED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The map of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMap {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Size of a block in bytes.
    pub block_size: u64,
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
    /// Number of blocks of the image, the last one perhaps short.
    pub fn blocks(&self) -> u64 {
        self.image_size.div_ceil(self.block_size)
    }

    /// Number of blocks that hold data.
    pub fn mapped(&self) -> u64 {
        self.ranges.iter().map(|r| r.last - r.first + 1).sum()
    }

    /// How many bytes of the image hold data.
    pub fn mapped_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| self.span(range)).map(|(start, end)| end - start).sum()
    }

    /// Where a range begins and ends in the image, in bytes.
    fn span(&self, range: &Range) -> (u64, u64) {
        (range.first * self.block_size, ((range.last + 1) * self.block_size).min(self.image_size))
    }

    /// The XML text.
    pub fn to_xml(&self) -> String {
        let text = self.xml_with(ZEROED);
        self.xml_with(&Digest::of(&text).hex())
    }

    fn xml_with(&self, checksum: &str) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {} </ImageSize>\n    \
             <BlockSize> {} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    <BlockMap>\n",
            self.image_size,
            self.block_size,
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
    /// *Untrusted* if it is too long or no such map, its checksum is wrong, a range has no digest, or
    /// ranges overlap, stand out of order or leave the image.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() as u64 > LONGEST {
            return Err(refuse("it is too long"));
        }
        let read = read(text)?;
        let field = |name: &str| read.fields.get(name).ok_or_else(|| refuse(&format!("no {name}")));
        let number = |name: &str| -> Result<u64> {
            field(name)?.parse().map_err(|_| refuse(&format!("{name} is no number")))
        };
        let checksum = field("BmapFileChecksum")?;
        if field("ChecksumType")? != "sha256" || checksum.len() != ZEROED.len() || !checksum.is_ascii() {
            return Err(refuse("its checksums are not SHA-256"));
        }
        if Digest::of(text.replacen(checksum, ZEROED, 1)).hex() != *checksum {
            return Err(refuse("its checksum is wrong"));
        }
        let block_size = number("BlockSize")?;
        if !block_size.is_power_of_two() || !(512..=1 << 20).contains(&block_size) {
            return Err(refuse("its blocks have a size that no disk has"));
        }
        let map = Self { image_size: number("ImageSize")?, block_size, ranges: read.ranges };
        let blocks = map.blocks();
        let apart = map.ranges.windows(2).all(|w| w[0].last < w[1].first);
        let sound = map.ranges.iter().all(|r| r.first <= r.last && r.last < blocks);
        if !apart || !sound {
            return Err(refuse("its ranges overlap, are out of order or leave the image"));
        }
        if number("BlocksCount")? != blocks || number("MappedBlocksCount")? != map.mapped() {
            return Err(refuse("its counts are wrong"));
        }
        Ok(map)
    }

    /// Compares an image with the map, piece by piece.
    pub fn comparing(&self) -> Comparing<'_> {
        Comparing { map: self, at: 0, range: 0, hash: Sha256::new() }
    }
}

fn refuse(why: &str) -> Failure {
    Failure::untrusted(format!("not a block map that can be used: {why}"))
        .hint("It is damaged, or of another version: have it made again (`bmaptool create`).")
}

/// What stands in the XML.
#[derive(Default)]
struct Read {
    fields: BTreeMap<String, String>,
    ranges: Vec<Range>,
}

/// Reads the elements; what is nested deeper or unknown is left alone, what XML could do beyond
/// elements (document types, entities, processing instructions) is refused.
fn read(text: &str) -> Result<Read> {
    let broken = |e: &dyn std::fmt::Display| refuse(&format!("it is no XML: {e}"));
    let (mut reader, mut read, mut open) = (Reader::from_str(text), Read::default(), Vec::<String>::new());
    let (mut said, mut digest) = (String::new(), None);
    loop {
        match reader.read_event().map_err(|e| broken(&e))? {
            Event::Start(tag) => {
                let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
                match open.as_slice() {
                    [] if name == "bmap" && read.fields.is_empty() => version(&tag)?,
                    [] => return Err(refuse("it is another document")),
                    [_, list] if list == "BlockMap" && name == "Range" => {
                        digest = Some(chksum(&tag)?);
                    }
                    [_, _, _, ..] => return Err(refuse("its elements are nested too deep")),
                    _ => {}
                }
                said.clear();
                open.push(name);
            }
            Event::End(_) => {
                let name = open.pop().ok_or_else(|| refuse("an element ends that never began"))?;
                match (open.as_slice(), digest.take()) {
                    ([_, _], Some(sha256)) => read.add(said.trim(), sha256)?,
                    ([_], _)
                        if name != "BlockMap"
                            && read.fields.insert(name, said.trim().to_owned()).is_some() =>
                    {
                        return Err(refuse("it says one thing twice"));
                    }
                    _ => {}
                }
                said.clear();
            }
            Event::Text(more) => said.push_str(&more.decode().map_err(|e| broken(&e))?),
            Event::Comment(_) | Event::Decl(_) => {}
            Event::Eof if open.is_empty() => return Ok(read),
            Event::Eof => return Err(refuse("it is cut off")),
            _ => return Err(refuse("it holds more than elements and text")),
        }
    }
}

impl Read {
    fn add(&mut self, blocks: &str, sha256: Digest) -> Result<()> {
        let number = |text: &str| text.trim().parse().ok().filter(|n| *n < u64::MAX >> 21);
        let (first, last) = blocks.split_once('-').unwrap_or((blocks, blocks));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(refuse("a range is none"));
        };
        if self.ranges.len() == MOST_RANGES {
            return Err(refuse("it has too many ranges"));
        }
        self.ranges.push(Range { first, last, sha256 });
        Ok(())
    }
}

fn version(tag: &BytesStart<'_>) -> Result<()> {
    match attribute(tag, b"version")?.as_deref() {
        Some(version) if version.starts_with("2.") => Ok(()),
        _ => Err(refuse("its version is not 2")),
    }
}

fn chksum(tag: &BytesStart<'_>) -> Result<Digest> {
    let text = attribute(tag, b"chksum")?.ok_or_else(|| refuse("a range has no digest"))?;
    let digits = Some(text.as_str()).filter(|text| text.len() == ZEROED.len());
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| refuse("a range has no SHA-256"))
}

fn attribute(tag: &BytesStart<'_>, name: &[u8]) -> Result<Option<String>> {
    let found = tag.try_get_attribute(name).map_err(|e| refuse(&format!("it is no XML: {e}")))?;
    let value = |a: quick_xml::events::attributes::Attribute<'_>| {
        a.normalized_value(XmlVersion::Implicit1_0).map(std::borrow::Cow::into_owned)
    };
    found.map(value).transpose().map_err(|e| refuse(&format!("it is no XML: {e}")))
}

/// An image on its way past its map.
#[derive(Clone)]
pub struct Comparing<'m> {
    map: &'m BlockMap,
    at: u64,
    range: usize,
    hash: Sha256,
}

impl Comparing<'_> {
    /// Takes the next bytes of the image in. `is_zero` says whether bytes are all zero.
    ///
    /// # Errors
    /// *Untrusted* if a range has another digest than the map says, or a block that it leaves out is
    /// not zero, or the image goes on where the map ends.
    pub fn add(&mut self, mut bytes: &[u8], is_zero: impl Fn(&[u8]) -> bool) -> Result<()> {
        while !bytes.is_empty() {
            let next = self.map.ranges.get(self.range).map(|range| (self.map.span(range), range.sha256));
            let (until, within) = match next {
                Some(((start, end), _)) if start <= self.at => (end, true),
                Some(((start, _), _)) => (start, false),
                None => (self.map.image_size, false),
            };
            if until <= self.at {
                return Err(self.differs("the image is larger than the map says"));
            }
            let most = usize::try_from(until - self.at).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(most.min(bytes.len()));
            match within {
                true => self.hash.update(now),
                false if !is_zero(now) => {
                    return Err(self.differs("the map leaves out blocks that hold data"));
                }
                false => {}
            }
            self.at += now.len() as u64;
            bytes = rest;
            if let Some(((start, end), wanted)) = next.filter(|((_, end), _)| *end == self.at) {
                let found = Digest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
                if found != wanted {
                    let why = format!("bytes {start} to {end} are {found}, not {wanted}");
                    return Err(self.differs(&why));
                }
                self.range += 1;
            }
        }
        Ok(())
    }

    /// Says that the image came to its end.
    ///
    /// # Errors
    /// *Untrusted* if the map goes on.
    pub fn finish(self) -> Result<()> {
        match self.at == self.map.image_size {
            true => Ok(()),
            false => Err(self.differs(&format!("the image has {} bytes", self.at))),
        }
    }

    fn differs(&self, why: &str) -> Failure {
        let size = self.map.image_size;
        Failure::untrusted(format!("the image is not the one of its block map ({size} bytes): {why}"))
            .hint("Use the map that was made with this image, or none (--no-bmap).")
    }
}

#[cfg(test)]
mod tests;
