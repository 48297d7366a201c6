//! The root filesystem as one archive: the flattened stack, tar + zstd.

use super::archive::Archive;
use super::stack::{self, Stack};
use super::union;
use crate::effects::{Cancel, Point, Task, point};
use crate::model::event::{Emitter, Unit};
use crate::model::failure::IoContext;
use crate::model::settings::Compression;
use crate::model::spec::Size;
use crate::model::{Artifact, ArtifactKind, Failure, Recipe, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes the archive. The same layers give the same bytes on every host.
///
/// # Errors
/// Class *limit* if `limits.rootfsSize` is exceeded; *cancelled* on request.
pub fn write(
    stack: &Stack,
    recipe: &Recipe,
    out: &Path,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Artifact> {
    let total = union::size(stack)?;
    let task = Task::with_total(events, "root filesystem archive", Some(total), Unit::Bytes);
    let part = stack::part_of(out);
    let file = File::create(&part).during(|| format!("writing {}", part.display()))?;
    let compressed = compressor(BufWriter::with_capacity(1 << 20, file), recipe.compression)
        .during(|| format!("compressing {}", out.display()))?;
    let mut archive = Archive::new(compressed, out.display().to_string());
    for found in union::walk(stack) {
        cancel.check()?;
        let found = found?;
        archive.entry(&found.entry, found.link.as_deref())?;
        if let (super::entry::Kind::File { size }, None) = (&found.entry.kind, &found.link) {
            task.advance(*size);
        }
    }
    let mut file = archive.finish()?.finish().during(|| format!("compressing {}", out.display()))?;
    file.flush().during(|| format!("writing {}", part.display()))?;
    drop(file);
    point(Point::RootfsWritten)?;
    let parts: Vec<_> = stack.layers.iter().map(|layer| (layer.name.clone(), layer.size)).collect();
    let limit = ("limits.rootfsSize", recipe.limits.rootfs_size);
    let artifact = stack::seal(ArtifactKind::Rootfs, out, limit, &parts)
        .map_err(|failure: Failure| failure.on(&recipe.image))?;
    task.finish(format!("written, {}", Size::from_bytes(artifact.size)));
    Ok(artifact)
}

/// A zstd stream whose bytes depend on the level only: with worker threads zstd cuts its
/// input into jobs of a size that the level sets, so their number does not show.
pub(super) fn compressor<W: Write>(
    to: W,
    compression: Compression,
) -> std::io::Result<zstd::Encoder<'static, W>> {
    let workers = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    compressor_with(to, compression, workers)
}

fn compressor_with<W: Write>(
    to: W,
    compression: Compression,
    workers: u32,
) -> std::io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(to, compression.level())?;
    encoder.include_checksum(true)?;
    encoder.multithread(workers.max(1))?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_workers_does_not_show() {
        // Larger than several jobs, and neither constant nor random.
        let mut state = 1u32;
        let input: Vec<u8> = (0..40 << 20)
            .map(|i: u32| {
                if i.is_multiple_of(7) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                }
                (state >> 24) as u8
            })
            .collect();
        let compressed = |workers| {
            let mut encoder = compressor_with(Vec::new(), Compression::Fast, workers).unwrap();
            // Pieces of odd sizes, as files come.
            for piece in input.chunks(1_000_003 + workers as usize) {
                encoder.write_all(piece).unwrap();
            }
            encoder.finish().unwrap()
        };
        let one = compressed(1);
        assert!(one == compressed(2) && one == compressed(3) && one == compressed(8));
        assert!(zstd::decode_all(&one[..]).unwrap() == input);
    }
}
