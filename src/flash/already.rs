//! Whether a card holds an image already: after a crash between the last block and the word that
//! all is well, it is read and not written a second time.

use super::{CHUNK, Measured, Source};
use crate::effects::block::Buffer;
use crate::effects::{Cancel, ClaimedDevice, Task};
use crate::model::{Digest, Failure, Result};
use sha2::{Digest as _, Sha256};

/// Reads the whole image back past the page cache; gives its SHA-256 if it is on the card, and
/// nothing at the first difference. A card whose writing was broken off has no beginning, so that
/// this is found out at once.
///
/// # Errors
/// If source or card cannot be read.
pub fn already(
    source: &Source,
    measured: &Measured,
    device: &ClaimedDevice,
    task: &Task,
    cancel: &Cancel,
) -> Result<Option<Digest>> {
    let mut stream = source.stream(measured.file_sha256.is_some())?;
    let (mut image, mut card, mut hash) = (vec![0; CHUNK], Buffer::new(CHUNK), Sha256::new());
    let reading = |e: &std::io::Error| Failure::io(format!("reading {}", device.device().path.display()), e);
    device.forget_cached().map_err(|e| reading(&e))?;
    let mut at = 0;
    while at < measured.image_size {
        cancel.check()?;
        let length = stream.fill(&mut image)?;
        if length == 0 {
            return Ok(None);
        }
        // The device is read in whole blocks; what is behind the image is nobody's business.
        let whole = length.next_multiple_of(device.block_size()).min(CHUNK);
        device.read_at(&mut card[..whole], at).map_err(|e| reading(&e))?;
        if card[..length] != image[..length] {
            return Ok(None);
        }
        hash.update(&card[..length]);
        at += length as u64;
        task.advance(length as u64);
    }
    // What was compared with is still what was vouched for.
    if stream.finish()?.is_some_and(|found| measured.file_sha256 != Some(found)) {
        return Ok(None);
    }
    Ok(Some(Digest::from_bytes(hash.finalize().into())))
}
