//! Cards: loop devices on files in memory.

use crate::run;
use bootwright::effects::{Cancel, Process};
use bootwright::model::{Failure, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const MIB: u64 = 1 << 20;

/// A loop device on a file of ours; detached when dropped.
pub struct Card {
    pub path: String,
    file: PathBuf,
    size: u64,
}

impl Card {
    pub fn new(file: PathBuf, size: u64) -> Result<Self> {
        fill(&file, size)?;
        let made = Process::new("losetup").args(["--find", "--show"]).arg(&file).check(&Cancel::default())?;
        let path = made.text().trim().to_owned();
        let name = path.strip_prefix("/dev/").unwrap_or_default();
        let ours = std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
        if ours.ok().map(|ours| PathBuf::from(ours.trim_end())) != Some(file.clone()) {
            return Err(Failure::host(format!("{path} is no loop device of ours")));
        }
        Ok(Self { path, file, size })
    }

    /// A used card: no byte of it is zero.
    pub fn make_old(&self) -> Result<()> {
        fill(&self.file, self.size)?;
        run("blockdev", &["--flushbufs", &self.path])
    }

    /// Major and minor number: `7:3`.
    pub fn number(&self) -> Result<String> {
        let name = self.path.strip_prefix("/dev/").unwrap_or_default();
        let path = format!("/sys/block/{name}/dev");
        let number = std::fs::read_to_string(&path);
        number.map(|text| text.trim().to_owned()).map_err(|e| Failure::io(format!("reading {path}"), &e))
    }

    /// Whether it holds an image, as `cmp` sees it past the device's cache.
    pub fn holds(&self, image: &Path) -> Result<()> {
        run("cmp", &[&image.to_string_lossy(), &self.file.to_string_lossy()])
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.path]);
    }
}

fn fill(path: &Path, size: u64) -> Result<()> {
    let failed = |e: std::io::Error| Failure::io(format!("writing {}", path.display()), &e);
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    file.set_len(size).map_err(failed)?;
    let piece = vec![0xa5; MIB as usize];
    (0..size / MIB).try_for_each(|at| file.write_all_at(&piece, at * MIB)).map_err(failed)
}
