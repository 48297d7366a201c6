//! Which file system begins with some bytes, by the marks in their superblocks.

/// How many bytes from the beginning hold the marks.
pub const HEAD: usize = 128 << 10;

/// Where a mark stands, the mark, and whose it is.
const MARKS: [(usize, &[u8], &str); 17] = [
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"XFSB", "xfs"),
    (0, b"hsqs", "squashfs"),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
    (1080, &[0x53, 0xef], "ext2, ext3 or ext4"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (4086, b"SWAPSPACE2", "swap"),
    (536, b"LVM2 001", "LVM"),
    (4096, &[0xfc, 0x4e, 0x2b, 0xa9], "Linux RAID"),
    (0x8001, b"CD001", "iso9660"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"NTFS    ", "NTFS"),
    (0x52, b"FAT32   ", "FAT32"),
    (0x36, b"FAT16   ", "FAT16"),
    (0x36, b"FAT12   ", "FAT12"),
    (512, b"EFI PART", "GPT"),
];

/// The file system, or partition table, that begins with `head`.
pub fn filesystem(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, mark: &[u8]| head.get(at..at + mark.len()) == Some(mark);
    MARKS.iter().find(|(at, mark, _)| has(*at, mark)).map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};

    #[test]
    fn what_the_real_tools_make_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        for (tool, arguments, name) in [
            ("mkfs.ext4", vec!["-q", "-F"], "ext2, ext3 or ext4"),
            ("mkfs.btrfs", vec!["-q", "-f"], "btrfs"),
            ("mkfs.xfs", vec!["-q", "-f"], "xfs"),
            ("mkfs.vfat", vec!["-F", "32"], "FAT32"),
            ("mkswap", vec![], "swap"),
        ] {
            std::fs::File::create(&path).unwrap().set_len(400 << 20).unwrap();
            Process::new(tool).args(arguments).arg(&path).check(&Cancel::default()).unwrap();
            let mut head = vec![0; HEAD];
            std::io::Read::read_exact(&mut std::fs::File::open(&path).unwrap(), &mut head).unwrap();
            assert_eq!(filesystem(&head), Some(name), "{tool}");
        }
        assert_eq!(filesystem(&[0; HEAD]), None);
        assert_eq!(filesystem(b""), None);
    }
}
