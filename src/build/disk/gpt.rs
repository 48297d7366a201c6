//! The partition table: protective MBR with GRUB's first sector, GPT at both ends.
//!
//! Sectors have 512 bytes. The form is that of the UEFI specification, 5.3 ("GUID Partition
//! Table Disk Layout"): a header, 128 entries of 128 bytes, both with a CRC-32.

use crate::model::{Failure, Result};

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Partitions begin at multiples of this, in sectors: 1 MiB.
pub const ALIGNMENT: u64 = 2048;
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Sectors of the entries.
const ENTRY_SECTORS: u64 = (ENTRIES * ENTRY) as u64 / SECTOR;
/// What of the MBR is program, in bytes; the disk's signature and partitions follow.
const PROGRAM: usize = 440;

/// A GUID in its text form.
pub type Guid = uuid::Uuid;

/// Types of partitions.
pub mod kind {
    use super::Guid;

    /// Where GRUB for BIOS lies.
    pub const BIOS_BOOT: Guid = Guid::from_u128(0x21686148_6449_6e6f_744e_656564454649);
    /// What UEFI firmware reads.
    pub const ESP: Guid = Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
    /// The root filesystem of an x86-64 system (Discoverable Partitions Specification).
    pub const ROOT_X86_64: Guid = Guid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709);
    /// `/home`.
    pub const HOME: Guid = Guid::from_u128(0x933ac7e1_2eb4_4f13_b844_0e14e2aef915);
    /// `/srv`.
    pub const SRV: Guid = Guid::from_u128(0x3b8f8425_20e0_4f3b_907f_1a25a76f98e8);
    /// Swap.
    pub const SWAP: Guid = Guid::from_u128(0x0657fd6d_a4ab_43c4_84e5_0933c84b4f4f);
    /// Any other filesystem of Linux.
    pub const LINUX: Guid = Guid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);
}

/// One partition.
#[derive(Clone, Debug)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Which one it is.
    pub id: Guid,
    /// Its name, in ASCII, at most 36 letters.
    pub name: String,
    /// Its first sector.
    pub first: u64,
    /// How many sectors it has.
    pub sectors: u64,
}

/// The first 34 sectors of a disk, and its last 33.
#[derive(Debug)]
pub struct Table {
    /// MBR, header, entries.
    pub head: Vec<u8>,
    /// Entries, header.
    pub tail: Vec<u8>,
}

/// The table of a disk of so many sectors. `boot` is GRUB's `boot.img`, which loads the image
/// at a sector; without it no BIOS starts from the disk.
///
/// # Errors
/// Class *bug* if the partitions do not lie on the disk one behind the other.
pub fn table(
    disk: Guid,
    sectors: u64,
    partitions: &[Partition],
    boot: Option<(&[u8], u64)>,
) -> Result<Table> {
    let (first, last) = (2 + ENTRY_SECTORS, sectors.saturating_sub(ENTRY_SECTORS + 2));
    let mut free = first;
    let mut entries = vec![0; ENTRIES * ENTRY];
    for (partition, entry) in partitions.iter().zip(entries.chunks_mut(ENTRY)) {
        let end = partition.first + partition.sectors;
        if partition.first < free || end > last + 1 || partition.sectors == 0 {
            return Err(Failure::bug(format!("partition {} does not fit on the disk", partition.name)));
        }
        free = end;
        entry[..16].copy_from_slice(&partition.kind.to_bytes_le());
        entry[16..32].copy_from_slice(&partition.id.to_bytes_le());
        entry[32..40].copy_from_slice(&partition.first.to_le_bytes());
        entry[40..48].copy_from_slice(&(end - 1).to_le_bytes());
        for (letter, at) in partition.name.encode_utf16().zip(entry[56..].chunks_mut(2)) {
            at.copy_from_slice(&letter.to_le_bytes());
        }
    }
    let header = |here: u64, other: u64, at: u64| -> Vec<u8> {
        let mut header = Vec::with_capacity(512);
        header.extend_from_slice(b"EFI PART\0\0\x01\0");
        header.extend_from_slice(&92_u32.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        for number in [here, other, first, last] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&disk.to_bytes_le());
        header.extend_from_slice(&at.to_le_bytes());
        header.extend_from_slice(&[ENTRIES as u8, 0, 0, 0, ENTRY as u8, 0, 0, 0]);
        header.extend_from_slice(&crc32(&entries).to_le_bytes());
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header.resize(512, 0);
        header
    };
    let mut head = mbr(disk, sectors, boot)?;
    head.extend(header(1, sectors - 1, 2));
    head.extend_from_slice(&entries);
    let mut tail = entries.clone();
    tail.extend(header(sectors - 1, 1, sectors - 1 - ENTRY_SECTORS));
    Ok(Table { head, tail })
}

/// Sectors of the second table, at the end of the disk.
pub const TAIL_SECTORS: u64 = ENTRY_SECTORS + 1;

/// GRUB's first sector with the place of the next one, and one partition that protects all.
fn mbr(disk: Guid, sectors: u64, boot: Option<(&[u8], u64)>) -> Result<Vec<u8>> {
    let mut mbr = match boot {
        Some((boot, core)) => grub_sector(boot, core)?,
        None => [vec![0; 510], vec![0x55, 0xaa]].concat(),
    };
    mbr[PROGRAM..PROGRAM + 4].copy_from_slice(&disk.as_bytes()[..4]);
    mbr[PROGRAM + 4..510].fill(0);
    let size = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    mbr[446..458].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    mbr[458..462].copy_from_slice(&size.to_le_bytes());
    Ok(mbr)
}

fn grub_sector(boot: &[u8], core: u64) -> Result<Vec<u8>> {
    if boot.len() < 512 || boot[510..512] != [0x55, 0xaa] {
        return Err(Failure::bug("GRUB's boot.img is no boot sector"));
    }
    let mut mbr = boot[..512].to_vec();
    // GRUB, `include/grub/i386/pc/boot.h`: kernel sector, boot drive (255: the one that the
    // BIOS names), and the check for BIOSes that name none, which disks skip to.
    mbr[0x5c..0x64].copy_from_slice(&core.to_le_bytes());
    mbr[0x64] = 0xff;
    mbr[0x66..0x68].copy_from_slice(&[0x90, 0x90]);
    Ok(mbr)
}

/// GRUB's core image for the place where it is: its first sector says where the rest lies.
///
/// # Errors
/// Class *bug* if it is no core image, or too large for `sectors`.
pub fn placed_core(mut core: Vec<u8>, at: u64, sectors: u64) -> Result<Vec<u8>> {
    if core.len() < 1024 || core.len() as u64 > sectors * SECTOR {
        return Err(Failure::bug(format!("GRUB's core image has {} bytes", core.len())));
    }
    // The last twelve bytes: first sector, number of sectors, segment.
    core[500..508].copy_from_slice(&(at + 1).to_le_bytes());
    Ok(core)
}

/// CRC-32 as Ethernet has it, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Vec<u8> {
        let mut boot = vec![1; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        boot
    }

    fn root(first: u64, sectors: u64) -> Partition {
        Partition { kind: kind::ROOT_X86_64, id: Guid::from_u128(1), name: "root".to_owned(), first, sectors }
    }

    #[test]
    fn checksums_are_the_usual_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn partitions_stay_on_the_disk_and_apart() {
        let disk = Guid::from_u128(7);
        let of = |partitions: &[Partition]| table(disk, 8192, partitions, Some((&boot(), 2048)));
        assert!(of(&[root(2048, 2048), root(4096, 2048)]).is_ok());
        assert!(of(&[root(2048, 2049), root(4096, 2048)]).is_err());
        assert!(of(&[root(33, 1)]).is_err());
        assert!(of(&[root(2048, 0)]).is_err());
        assert!(of(&[root(2048, 8192 - 2048 - 33)]).is_ok());
        assert!(of(&[root(2048, 8192 - 2048 - 32)]).is_err());
        assert!(table(disk, 8192, &[], Some((b"no sector", 1))).is_err());
    }

    #[test]
    fn without_grub_only_the_protective_partition_is_there() {
        let head = table(Guid::from_u128(7), 8192, &[], None).unwrap().head;
        assert!(head[..PROGRAM].iter().all(|byte| *byte == 0));
        assert_eq!((head[450], &head[510..512]), (0xee, &[0x55, 0xaa][..]));
    }

    #[test]
    fn grub_finds_its_second_sector() {
        let head = table(Guid::from_u128(7), 8192, &[], Some((&boot(), 2048))).unwrap().head;
        assert_eq!(head[0x5c..0x68], [0, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0x90, 0x90]);
        assert_eq!(placed_core(vec![0; 2048], 2048, 8).unwrap()[500..508], 2049_u64.to_le_bytes());
        assert!(placed_core(vec![0; 2048], 2048, 3).is_err() && placed_core(vec![0; 512], 2048, 8).is_err());
    }
}
