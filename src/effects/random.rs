//! Random numbers of the kernel.

use crate::model::Result;
use crate::model::failure::IoContext;
use std::io::Read;

/// So many random bytes.
///
/// # Errors
/// If the kernel gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut random = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .during(|| "reading random numbers")?;
    Ok(random)
}
