//! A swap partition (kernel, `include/linux/swap.h`): one page says what it is, the rest is empty.

use crate::model::Result;
use crate::model::failure::IoContext;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Writes swap of so many bytes; its size.
///
/// # Errors
/// If it cannot be written.
pub fn write(image: &Path, size: u64, uuid: uuid::Uuid) -> Result<u64> {
    let writing = || format!("writing {}", image.display());
    let mut head = vec![0; PAGE as usize];
    let last = u32::try_from(size / PAGE).unwrap_or(u32::MAX).saturating_sub(1);
    // Behind what a boot sector may have: version 1, the last page, no bad pages.
    head[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    head[1028..1032].copy_from_slice(&last.to_le_bytes());
    head[1036..1052].copy_from_slice(uuid.as_bytes());
    head[1052..1056].copy_from_slice(b"swap");
    head[4086..].copy_from_slice(b"SWAPSPACE2");
    let mut file = File::create(image).during(writing)?;
    file.write_all(&head).and_then(|()| file.set_len(size)).during(writing)?;
    Ok(size)
}
