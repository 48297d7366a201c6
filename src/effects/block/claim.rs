//! A device that is ours alone, and everything that can be done to it.

use super::device::{is_read_only, look, number, queue_limit};
use super::filesystem::{HEAD, filesystem};
use super::{Buffer, used};
use crate::model::failure::IoContext;
use crate::model::flash::Device;
use crate::model::{ErrorCode, Failure, Result};
use nix::libc;
use rustix::fs::FallocateFlags;
use rustix::ioctl::{Getter, NoArg, Opcode, Setter, ioctl};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

// Calls of linux/fs.h. They say `size_t` and mean 64 bits on the machines that we know.
const BLKFLSBUF: Opcode = 0x1261;
const BLKDISCARD: Opcode = 0x1277;
const BLKGETSIZE64: Opcode = 0x8008_1272;
const BLKGETDISKSEQ: Opcode = 0x8008_1280;

/// What a device is claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look at it: every write fails.
    Read,
    /// To write to it.
    Write,
}

/// A whole block device that nobody else uses, held until dropped. While it is held, nobody
/// can mount it. Reads and writes go past the page cache.
#[derive(Debug)]
pub struct ClaimedDevice {
    file: File,
    device: Device,
    discards: bool,
}

impl ClaimedDevice {
    /// Claims a device: refused are partitions, what is in use by anybody, what is read-only,
    /// and what is not what it was when it was looked at.
    ///
    /// # Errors
    /// Class *spec*, with who uses it and what to do; *host* if it cannot be opened.
    pub fn claim(path: &Path, access: Access) -> Result<Self> {
        let seen = look(path)?;
        used::refuse(&seen, &used::of(&seen)?)?;
        if is_read_only(&seen) {
            return Err(read_only(&seen));
        }
        if seen.size == 0 {
            return Err(Failure::spec(format!("{} is empty: no card is in it", path.display()))
                .hint("Put a card into the reader."));
        }
        let flags = libc::O_EXCL | libc::O_DIRECT | libc::O_CLOEXEC | libc::O_NONBLOCK;
        let opened =
            OpenOptions::new().read(true).write(access == Access::Write).custom_flags(flags).open(path);
        let file = match opened {
            Ok(file) => file,
            Err(e) => return Err(not_opened(&seen, &e)),
        };
        let mut claimed = Self { discards: queue_limit(&seen, "discard_max_bytes") > 0, device: seen, file };
        claimed.must_be_what_was_seen()?;
        claimed.name_filesystems();
        Ok(claimed)
    }

    /// What it is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Size of a logical block, in bytes.
    pub fn block_size(&self) -> usize {
        self.device.block_size as usize
    }

    /// Whether it can be told to make blocks zero, as far as the kernel knows before it was asked to.
    pub fn zeroes(&self) -> bool {
        queue_limit(&self.device, "write_zeroes_max_bytes") > 0
    }

    /// Whether it can be told to forget blocks; what they read as then, it does not say.
    pub fn discards(&self) -> bool {
        self.discards
    }

    /// Reads from the device itself. `buffer` and `offset` are aligned to its blocks.
    ///
    /// # Errors
    /// What the device says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Writes to the device itself. `bytes` and `offset` are aligned to its blocks.
    ///
    /// # Errors
    /// What the device says; nothing is known about these blocks then.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Brings all that was written to rest.
    ///
    /// # Errors
    /// If the device failed to; a second call would not say so again (fsync(2)).
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Makes blocks zero, which the device does by itself or not at all: with this the kernel never
    /// writes zeros in its place, as it would with BLKZEROOUT.
    ///
    /// # Errors
    /// What the device says.
    pub fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, how, offset, length)?)
    }

    /// Lets the device forget blocks.
    ///
    /// # Errors
    /// What the device says.
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        // SAFETY: BLKDISCARD reads two 64-bit numbers, start and length in bytes.
        let call = unsafe { Setter::<BLKDISCARD, [u64; 2]>::new([offset, length]) };
        // SAFETY: as above; the descriptor is an open block device.
        Ok(unsafe { ioctl(&self.file, call) }?)
    }

    /// Drops what the page cache holds of the device, from whoever else has it open.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn forget_cached(&self) -> io::Result<()> {
        // SAFETY: BLKFLSBUF takes no argument.
        let call = unsafe { NoArg::<BLKFLSBUF>::new() };
        // SAFETY: as above; the descriptor is an open block device.
        Ok(unsafe { ioctl(&self.file, call) }?)
    }

    /// Whether it is still the same medium.
    pub fn is_same(&self) -> bool {
        let sequence = self.sequence();
        // Kernels before 5.15 do not count.
        sequence.is_none() || sequence == self.device.sequence
    }

    /// Whether it answers at all: one read from its beginning.
    pub fn answers(&self) -> bool {
        let mut first = Buffer::new(self.block_size().max(512));
        self.is_same() && self.read_at(&mut first, 0).is_ok()
    }

    fn sequence(&self) -> Option<u64> {
        // SAFETY: BLKGETDISKSEQ writes one 64-bit number.
        let call = unsafe { Getter::<BLKGETDISKSEQ, u64>::new() };
        // SAFETY: as above; the descriptor is an open block device.
        unsafe { ioctl(&self.file, call) }.ok()
    }

    fn must_be_what_was_seen(&self) -> Result<()> {
        let path = self.device.path.display();
        let metadata = self.file.metadata().during(|| format!("looking at {path}"))?;
        // SAFETY: BLKGETSIZE64 writes one 64-bit number.
        let call = unsafe { Getter::<BLKGETSIZE64, u64>::new() };
        // SAFETY: as above; the descriptor is an open file.
        let size = unsafe { ioctl(&self.file, call) };
        let size = size.map_err(|e| Failure::io(format!("asking {path} for its size"), &e.into()))?;
        let same =
            number(metadata.rdev()) == self.device.number && size == self.device.size && self.is_same();
        if same {
            return Ok(());
        }
        Err(Failure::host(format!("{path} is another device than a moment ago"))
            .hint("Somebody changed the card. Look with `lsblk` and try again."))
    }

    /// Reads the marks of file systems; what cannot be read has none.
    fn name_filesystems(&mut self) {
        let mut head = Buffer::new(HEAD);
        let mut name_at = |start: u64, size: u64| {
            let length = usize::try_from(size).unwrap_or(HEAD).min(HEAD) / 4096 * 4096;
            self.file.read_exact_at(&mut head[..length], start).ok()?;
            filesystem(&head[..length]).map(str::to_owned)
        };
        self.device.filesystem = name_at(0, self.device.size);
        for partition in &mut self.device.partitions {
            partition.filesystem = name_at(partition.start, partition.size);
        }
    }
}

fn read_only(device: &Device) -> Failure {
    Failure::spec(format!("{} is read-only", device.path.display()))
        .code(ErrorCode::Permission)
        .hint("Move the card's lock switch, or take it out and in again: a worn-out card locks itself.")
}

fn not_opened(device: &Device, error: &io::Error) -> Failure {
    let path = device.path.display();
    match error.raw_os_error() {
        // Held in another mount namespace, or by a program that claimed it as we do.
        Some(libc::EBUSY) => match used::of(device).and_then(|uses| used::refuse(device, &uses)) {
            Err(failure) => failure,
            Ok(()) => Failure::spec(format!("{path} is in use: somebody else holds it for themselves"))
                .hint("Another card writer, or a mount in a container. `lsof` and `lsblk` may show who."),
        },
        Some(libc::EROFS) => read_only(device),
        Some(libc::ENOMEDIUM | libc::ENXIO) => {
            Failure::spec(format!("{path}: no card is in it")).hint("Put a card into the reader.")
        }
        _ => Failure::io(format!("opening {path}"), error),
    }
}
