//! Images: every other stretch is a hole, the rest noise, or what files of this host hold.

use crate::card::MIB;
use bootwright::model::{Failure, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The image has a hole of so many bytes, then data of as many, and so on.
const STRETCH: u64 = 64 * MIB;

/// Noise: nothing can be saved by packing it.
#[derive(Default)]
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut state = self.0 | 1;
        for word in buffer.chunks_mut(8) {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
        }
        self.0 = state;
        Ok(buffer.len())
    }
}

/// The files below a folder, one after the other and again from the beginning.
struct Files {
    files: Vec<PathBuf>,
    next: usize,
    open: Option<File>,
}

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for _ in 0..=self.files.len() {
            if let Some(file) = &mut self.open {
                let read = file.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
            }
            self.open = self.files.get(self.next % self.files.len().max(1)).and_then(|p| File::open(p).ok());
            self.next += 1;
        }
        Err(std::io::Error::other("there is nothing to make an image of"))
    }
}

/// An image of noise.
pub fn noise(path: &Path, size: u64) -> Result<()> {
    half(path, size, &mut Noise(0x9e37_79b9_7f4a_7c15))
}

/// An image of noise without holes.
pub fn full(path: &Path, size: u64) -> Result<()> {
    write(path, size, &mut Noise(0x2545_f491_4f6c_dd1d), |_| true)
}

/// An image of programs, as a system has them: what packing it saves is what it saves of systems.
pub fn programs(path: &Path, size: u64) -> Result<()> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let plain = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        files.extend(plain.map(|entry| entry.path()));
    }
    files.sort();
    half(path, size, &mut Files { files, next: 0, open: None })
}

fn half(path: &Path, size: u64, from: &mut dyn Read) -> Result<()> {
    write(path, size, from, |at| (at / STRETCH) % 2 == 1)
}

fn write(path: &Path, size: u64, from: &mut dyn Read, is_data: impl Fn(u64) -> bool) -> Result<()> {
    let failed = |e: std::io::Error| Failure::io(format!("writing {}", path.display()), &e);
    let file = File::create(path).map_err(failed)?;
    file.set_len(size).map_err(failed)?;
    let mut piece = vec![0; MIB as usize];
    for at in (0..size).step_by(MIB as usize).filter(|at| is_data(*at)) {
        from.read_exact(&mut piece).map_err(failed)?;
        file.write_all_at(&piece, at).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}
