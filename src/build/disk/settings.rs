//! Files that only a disk image has: where its partitions are mounted, how it grows, how it
//! starts. Pure.

use super::ext4::{Content, Extra};
use crate::build::iso::menu::{self, Start};
use crate::model::recipe::BootMenu;
use crate::model::spec::Architecture;
use crate::model::{Digest, Result};

/// What a disk is called by those who look for its parts.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The UUID of the root filesystem.
    pub root: uuid::Uuid,
    /// The serial number of the EFI partition's FAT.
    pub esp: [u8; 4],
}

/// `etc/fstab`. The root filesystem grows to its partition whenever it is mounted.
pub fn fstab(names: Names) -> String {
    let [a, b, c, d] = names.esp.map(|byte| format!("{byte:02X}"));
    format!(
        "# Written by Bootwright for this disk image.\n\
         UUID={root} / ext4 rw,relatime,errors=remount-ro,x-systemd.growfs 0 1\n\
         UUID={a}{b}-{c}{d} /boot/efi vfat umask=0077,nofail 0 2\n",
        root = names.root
    )
}

/// What systemd-repart(8) does at boot: the root partition takes what is free behind it.
pub const REPART: &str = "\
# The image is as small as it can be; the disk that it is written to is larger.
[Partition]
Type=root
";

/// What GRUB reads first, under BIOS and UEFI: it looks for this very root filesystem.
pub fn first_stage(names: Names) -> String {
    format!("search --no-floppy --fs-uuid --set=root {}\nset prefix=($root)/boot/grub\n", names.root)
}

/// `boot/grub/grub.cfg`.
///
/// # Errors
/// Class *spec* if the title or a kernel flag cannot be taken.
pub fn grub_cfg(menu: &BootMenu, build: Digest, kernel: &str, names: Names) -> Result<String> {
    let start = Start {
        id: "system",
        kernel: &format!("/boot/vmlinuz-{kernel}"),
        initrd: &format!("/boot/initrd.img-{kernel}"),
        words: &format!("root=UUID={} ro bootwright.build={}", names.root, build.hex()),
        architecture: Architecture::X86_64,
    };
    menu::configuration(menu, build, &start)
}

/// A file of root with these bytes.
pub fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Extra {
    Extra { path: path.to_owned(), mode: 0o644, content: Content::Bytes(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_for_by_its_own_name() {
        let names = Names { root: uuid::Uuid::from_u128(0xabc), esp: [0x1a, 2, 0xff, 4] };
        let root = "00000000-0000-0000-0000-000000000abc";
        assert!(fstab(names).contains(&format!("UUID={root} / ext4 ")));
        assert!(fstab(names).contains("UUID=1A02-FF04 /boot/efi vfat "));
        assert!(first_stage(names).contains(root));
        let boot_menu =
            BootMenu { title: "t".into(), timeout: 1, splash: None, kernel_flags: vec!["a=1".into()] };
        let cfg = grub_cfg(&boot_menu, Digest::of("x"), "6.1.0-1-amd64", names).unwrap();
        assert!(cfg.contains("linux /boot/vmlinuz-6.1.0-1-amd64 root=UUID=") && cfg.contains(" 'a=1'\n"));
        assert!(!cfg.contains("boot=live"));
        let moved = BootMenu { kernel_flags: vec!["rootflags=subvol=x".into()], ..boot_menu };
        assert!(grub_cfg(&moved, Digest::of("x"), "6.1", names).is_err());
    }
}
