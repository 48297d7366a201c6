//! The first time a packed image is unpacked: before any card is touched, because only then is it
//! known that it is whole and how large it is. Its digests are taken at once.
//!
//! So that it need not be unpacked a second time, it is kept in a file without a name, as far as that
//! fits into the page cache: nobody waits for a disk, zeros take no room, and the file is gone with us.

use super::feed::{Feed, Next};
use super::inventory::{Blocks, Inventory, Whole, take};
use super::source::{BEGINNING, Source, Stream, too_large};
use crate::effects::{Cancel, host};
use crate::model::block_map::BlockMap;
use crate::model::{Digest, Failure, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// An image is kept if it takes no more than this part of the memory that is free: the kernel makes
/// writers wait for the disk at a fifth (`vm.dirty_ratio`).
const PART: u64 = 6;
/// The lanes of the ring: the fingerprints of blocks, the file, and the SHA-256 where it is wanted.
const LANES: [usize; 3] = [0, 1, 2];

/// What was found out.
pub struct Unpacked {
    pub size: u64,
    pub beginning: Vec<u8>,
    /// The digest of the packed file.
    pub sha256: Digest,
    pub inventory: Inventory,
    /// The image, if it was kept.
    pub kept: Option<File>,
}

/// Goes through a whole image, and takes its SHA-256 if that is wanted. It is kept in `folder`, if one
/// is given.
pub fn unpack(
    source: &Source,
    sha256: bool,
    map: Option<&BlockMap>,
    (room, folder): (u64, Option<&Path>),
    progress: &dyn Fn(u64),
    cancel: &Cancel,
) -> Result<Unpacked> {
    let mut stream: Stream = source.stream(true)?;
    // Digests are what it is unpacked for; the file may be given up.
    let feed = Arc::new(Feed::new(1, 1 + usize::from(sha256)));
    let blocks = take::<Blocks>(Arc::clone(&feed), LANES[0]);
    let kept = keep(Arc::clone(&feed), folder);
    let whole = sha256.then(|| take::<Whole>(Arc::clone(&feed), LANES[2]));
    let (mut beginning, mut comparing) = (Vec::new(), map.map(BlockMap::comparing));
    let poured = feed.pour_with(&mut stream, cancel, |bytes, end| {
        // A bomb unpacks to more than any disk holds: it is not unpacked further.
        too_large(source.path(), end, room)?;
        if beginning.len() < BEGINNING {
            let more = bytes.len().min(BEGINNING - beginning.len());
            beginning.extend_from_slice(&bytes[..more]);
        }
        if let Some(comparing) = &mut comparing {
            comparing.add(bytes, super::feed::is_zero)?;
        }
        progress(bytes.len() as u64);
        Ok(())
    });
    let poured =
        poured.and_then(|size| comparing.map_or(Ok(()), |comparing| comparing.finish()).map(|()| size));
    feed.end(poured.is_ok());
    let blocks = blocks.join().unwrap_or_default();
    let whole = whole.map(|whole| whole.join().unwrap_or_default());
    let kept = kept.join().unwrap_or_default();
    let size = poured?;
    let early = || Failure::bug("a hashing thread ended early");
    let whole = whole.map(|whole| whole.ok_or_else(early)).transpose()?;
    let inventory = Inventory::new(blocks.ok_or_else(early)?, whole.map(Whole::digest));
    let sha256 = stream.finish()?.ok_or_else(|| Failure::bug("nobody hashed the file"))?;
    Ok(Unpacked { size, beginning, sha256, inventory, kept })
}

/// Keeps what comes out of the last lane. That it cannot be kept costs time only.
fn keep(feed: Arc<Feed>, folder: Option<&Path>) -> JoinHandle<Option<File>> {
    let most = host::available_memory().unwrap_or(0) / PART;
    let file = folder.filter(|_| most > 0).and_then(|folder| {
        std::fs::create_dir_all(folder).ok()?;
        tempfile::tempfile_in(folder).ok()
    });
    std::thread::spawn(move || {
        let lane = LANES[1];
        let kept = file.and_then(|file| {
            let (mut data, mut size) = (0, 0);
            loop {
                let chunk = match feed.next(lane) {
                    Next::Chunk(chunk) => chunk,
                    Next::End => return file.set_len(size).is_ok().then_some(file),
                    Next::Broken => return None,
                };
                let stretches = chunk.stretches(0);
                let written = stretches.into_iter().filter(|(_, zero)| !zero).try_for_each(|(at, _)| {
                    data += at.len() as u64;
                    file.write_all_at(&chunk.bytes()[at.clone()], chunk.offset + at.start as u64)
                });
                size = chunk.offset + chunk.length as u64;
                feed.done(chunk);
                if written.is_err() || data > most {
                    return None;
                }
            }
        });
        feed.close(lane);
        kept
    })
}
