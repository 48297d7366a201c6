//! Cards as slow as real ones: the kernel holds back what this process and its children ask of them
//! (control groups: `blkio.throttle` of version 1, `io.max` of version 2).

use crate::card::{Card, MIB};
use bootwright::model::{Failure, Result};
use std::path::{Path, PathBuf};

/// What a good SD card writes and reads in a second.
pub const WRITES: u64 = 40 * MIB;
pub const READS: u64 = 90 * MIB;

const ROOT: &str = "/sys/fs/cgroup";

/// A control group with this process in it; left and taken away when dropped.
pub struct Slow {
    group: PathBuf,
    above: PathBuf,
}

impl Slow {
    /// Slows cards down, for this process and what it starts.
    pub fn down(cards: &[Card]) -> Result<Self> {
        let one = Path::new(ROOT).join("blkio");
        let is_one =
            one.join("blkio.throttle.write_bps_device").exists() || one.join("cgroup.procs").exists();
        let above = if is_one { one } else { PathBuf::from(ROOT) };
        let slow = Self { group: above.join(format!("bootwright-bench-{}", std::process::id())), above };
        if !is_one {
            put(&slow.above.join("cgroup.subtree_control"), "+io")?;
        }
        std::fs::create_dir(&slow.group)
            .map_err(|e| Failure::io(format!("making {}", slow.group.display()), &e))?;
        for card in cards {
            let number = card.number()?;
            if is_one {
                put(&slow.group.join("blkio.throttle.write_bps_device"), &format!("{number} {WRITES}"))?;
                put(&slow.group.join("blkio.throttle.read_bps_device"), &format!("{number} {READS}"))?;
            } else {
                put(&slow.group.join("io.max"), &format!("{number} rbps={READS} wbps={WRITES}"))?;
            }
        }
        put(&slow.group.join("cgroup.procs"), &std::process::id().to_string())?;
        Ok(slow)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let left = put(&self.above.join("cgroup.procs"), &std::process::id().to_string());
        if left.and_then(|()| std::fs::remove_dir(&self.group).map_err(|e| Failure::io("", &e))).is_err() {
            eprintln!("{} is left behind", self.group.display());
        }
    }
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Failure::io(format!("writing {}", path.display()), &e))
}
