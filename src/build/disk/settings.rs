//! Files that only a disk image has: where its partitions are mounted, how it grows, how it
//! starts. Pure.

use super::contents::{Content, Extra};
use super::layout::{Layout, Part, What};
use crate::build::iso::menu::{self, Entry, Start};
use crate::model::recipe::BootMenu;
use crate::model::spec::{Architecture, RootFilesystem};
use crate::model::{Digest, Result};

/// What a disk is called by those who look for its parts.
#[derive(Clone, Debug)]
pub struct Names {
    /// The UUID of every filesystem and of swap, by the names of their partitions.
    pub of: Vec<(String, uuid::Uuid)>,
    /// The serial number of the EFI partition's FAT.
    pub esp: [u8; 4],
}

impl Names {
    fn uuid(&self, part: &Part) -> uuid::Uuid {
        self.of.iter().find(|(name, _)| *name == part.name).map_or(uuid::Uuid::nil(), |(_, uuid)| *uuid)
    }
}

/// The root was found, so its neighbours are there: a machine that is slow or emulated may take
/// longer to say so than systemd's minute and a half.
const WAIT: &str = ",x-systemd.device-timeout=5min";

/// A disk that starts: its layout and what its parts are called.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Its partitions.
    pub layout: Layout,
    /// What they are called.
    pub names: Names,
}

impl Disk {
    /// The filesystem in which a folder lies, and the folder's path from there.
    fn place(&self, folder: &str) -> (uuid::Uuid, String) {
        let of = |part: &Part| match &part.what {
            What::Files(mount) if mount.is_empty() => Some((0, format!("/{folder}"))),
            What::Files(mount) => {
                let rest = folder.strip_prefix(mount.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(|| (mount.len(), rest.to_owned()))
            }
            _ => None,
        };
        let parts = self.layout.partitions.iter().filter_map(|part| Some((of(part)?, part)));
        let nearest = parts.max_by_key(|((length, _), _)| *length);
        nearest.map_or((uuid::Uuid::nil(), String::new()), |((length, path), part)| {
            let subvolume = if length == 0 { self.subvolume("", "") } else { None };
            (self.names.uuid(part), subvolume.map_or(path.clone(), |name| format!("/{name}{path}")))
        })
    }

    /// The subvolume of the filesystem at `mount` that takes the place of `folder`.
    fn subvolume(&self, mount: &str, folder: &str) -> Option<&'static str> {
        let mut subvolumes = self.layout.subvolumes(mount).into_iter();
        subvolumes.find(|(_, there)| *there == folder).map(|(name, _)| name)
    }

    /// `etc/fstab`. What can grow grows to its partition whenever it is mounted.
    pub fn fstab(&self) -> String {
        let mut text = "# Written by Bootwright for this disk image.\n".to_owned();
        for mount in self.layout.mounts() {
            let files = What::Files(mount.to_owned());
            let Some(part) = self.layout.partitions.iter().find(|part| part.what == files) else { continue };
            let uuid = self.names.uuid(part);
            let grows = if part.grows { ",x-systemd.growfs" } else { "" };
            let subvolumes = self.layout.subvolumes(mount);
            if subvolumes.is_empty() {
                text.push_str(&self.line(uuid, mount, grows));
            }
            for (name, folder) in subvolumes {
                let grows = if folder.is_empty() { grows } else { "" };
                text.push_str(&self.line(uuid, folder, &format!(",subvol={name}{grows}")));
            }
        }
        for part in &self.layout.partitions {
            match &part.what {
                What::Efi(mount) => {
                    let [a, b, c, d] = self.names.esp.map(|byte| format!("{byte:02X}"));
                    text.push_str(&format!("UUID={a}{b}-{c}{d} /{mount} vfat umask=0077,nofail 0 2\n"));
                }
                What::Swap => {
                    text.push_str(&format!("UUID={} none swap sw{WAIT} 0 0\n", self.names.uuid(part)))
                }
                What::Files(_) => {}
            }
        }
        text
    }

    fn line(&self, uuid: uuid::Uuid, mount: &str, more: &str) -> String {
        let kind = self.layout.filesystem;
        let (options, check) = match kind {
            RootFilesystem::Ext4 => ("rw,relatime,errors=remount-ro", if mount.is_empty() { 1 } else { 2 }),
            RootFilesystem::Btrfs if self.layout.compress => ("rw,relatime,compress=zstd:3", 0),
            _ => ("rw,relatime", 0),
        };
        let wait = if mount.is_empty() { "" } else { WAIT };
        format!("UUID={uuid} /{mount} {} {options}{more}{wait} 0 {check}\n", kind.as_str())
    }

    /// What GRUB reads first, under BIOS and UEFI: it looks for this very filesystem.
    pub fn first_stage(&self) -> String {
        let (uuid, boot) = self.place("boot");
        format!("search --no-floppy --fs-uuid --set=root {uuid}\nset prefix=($root){boot}/grub\n")
    }

    /// `boot/grub/grub.cfg`.
    ///
    /// # Errors
    /// Class *spec* if the title or a kernel flag cannot be taken.
    pub fn grub_cfg(&self, menu: &BootMenu, build: Digest, kernel: &str) -> Result<String> {
        let (_, boot) = self.place("boot");
        let start = Start {
            id: "system",
            kernel: &format!("{boot}/vmlinuz-{kernel}"),
            initrd: &format!("{boot}/initrd.img-{kernel}"),
            words: &self.words(build),
            architecture: Architecture::X86_64,
        };
        menu::configuration(menu, build, &start)
    }

    /// The settings of systemd-boot by their paths in the EFI partition (loader.conf(5), and the
    /// Boot Loader Specification of the UAPI group for the entries).
    ///
    /// # Errors
    /// Class *spec* if the title or a kernel flag cannot be taken.
    pub fn loader_files(
        &self,
        menu: &BootMenu,
        build: Digest,
        kernel: &str,
    ) -> Result<Vec<(String, String)>> {
        let (linux, initrd) = on_efi(kernel);
        let start = Start {
            id: "system",
            kernel: &linux,
            initrd: &initrd,
            words: &self.words(build),
            architecture: Architecture::X86_64,
        };
        let settings = format!(
            "# Bootwright build {}\ntimeout {}\ndefault {}.conf\nconsole-mode keep\n",
            build.hex(),
            menu.timeout,
            start.id
        );
        let mut files = vec![("loader/loader.conf".to_owned(), settings)];
        // Flags have neither spaces nor quotes: each is one word as it stands.
        for Entry { title, id, line } in menu::entries(menu, &start, str::to_owned)? {
            let text = format!("title {title}\nlinux /{linux}\ninitrd /{initrd}\noptions {line}\n");
            files.push((format!("loader/entries/{id}.conf"), text));
        }
        Ok(files)
    }

    /// Where the system is, for the kernel.
    fn words(&self, build: Digest) -> String {
        let (root, _) = self.place("");
        let flags = self.subvolume("", "").map_or(String::new(), |name| format!("rootflags=subvol={name} "));
        format!("root=UUID={root} {flags}ro bootwright.build={}", build.hex())
    }

    /// What systemd-repart(8) does at boot: the last partition takes what is free behind it.
    pub fn repart(&self) -> Vec<(String, String)> {
        if !self.layout.partitions.iter().any(|part| part.grows) {
            return Vec::new();
        }
        // The others are named too, because a type is looked for in the partitions' order.
        let named = self.layout.partitions.iter().filter_map(|part| Some((part, part.kind_word()?)));
        let files = named.zip(50..).map(|((part, kind), number)| {
            let fixed = part
                .size
                .filter(|_| !part.grows)
                .map_or(String::new(), |size| format!("SizeMinBytes={size}\nSizeMaxBytes={size}\n"));
            let path = format!("etc/repart.d/{number}-{}.conf", part.name);
            (path, format!("{REPART}Type={kind}\n{fixed}"))
        });
        files.collect()
    }
}

const REPART: &str = "\
# The image is as small as it can be; the disk that it is written to is larger.
[Partition]
";

/// Where systemd-boot finds a kernel and its initramfs in the EFI partition.
pub fn on_efi(kernel: &str) -> (String, String) {
    (format!("bootwright/{kernel}/linux"), format!("bootwright/{kernel}/initrd.img"))
}

/// A file of root with these bytes.
pub fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Extra {
    Extra { path: path.to_owned(), mode: 0o644, content: Content::Bytes(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::Filesystem;

    const ROOT: &str = "00000000-0000-0000-0000-000000000abc";

    fn disk(yaml: serde_json::Value) -> Disk {
        let asked: Filesystem = serde_json::from_value(yaml).unwrap();
        let layout = Layout::of(Some(&asked), 64 << 20).unwrap();
        let of = layout.partitions.iter().zip(0xabc..);
        let of = of.map(|(part, number)| (part.name.clone(), uuid::Uuid::from_u128(number))).collect();
        Disk { layout, names: Names { of, esp: [0x1a, 2, 0xff, 4] } }
    }

    fn menu(flags: &[&str]) -> BootMenu {
        let kernel_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        BootMenu {
            kind: Default::default(),
            title: "t".into(),
            timeout: 1,
            splash: None,
            colors: None,
            kernel_flags,
        }
    }

    #[test]
    fn everything_is_looked_for_by_its_own_name() {
        let mut disk = disk(serde_json::json!({}));
        disk.names.of[1].1 = uuid::Uuid::from_u128(0xabc);
        assert!(
            disk.fstab().contains(&format!(
                "UUID={ROOT} / ext4 rw,relatime,errors=remount-ro,x-systemd.growfs 0 1\n"
            ))
        );
        assert!(disk.fstab().contains("UUID=1A02-FF04 /boot/efi vfat "));
        assert!(
            disk.first_stage().contains(ROOT) && disk.first_stage().contains("prefix=($root)/boot/grub\n")
        );
        let cfg = disk.grub_cfg(&menu(&["a=1"]), Digest::of("x"), "6.1.0-1-amd64").unwrap();
        assert!(cfg.contains("linux /boot/vmlinuz-6.1.0-1-amd64 root=UUID=") && cfg.contains(" 'a=1'\n"));
        assert!(!cfg.contains("boot=live"));
        assert!(disk.grub_cfg(&menu(&["rootflags=subvol=x"]), Digest::of("x"), "6.1").is_err());
        let [(path, text)] = &disk.repart()[..] else { panic!("{:?}", disk.repart()) };
        assert!(
            path == "etc/repart.d/50-root.conf" && text.ends_with("[Partition]\nType=root\n"),
            "{path}: {text}"
        );
    }

    #[test]
    fn systemd_boot_has_an_entry_for_each_way_to_start() {
        let disk = disk(serde_json::json!({"root": "btrfs"}));
        let menu = |title: &str, flags: &[&str]| BootMenu { title: title.into(), ..menu(flags) };
        let files =
            disk.loader_files(&menu("Edge", &["a=1", "b"]), Digest::of("x"), "6.1.0-1-amd64").unwrap();
        let [(settings, text), (first, entry), (second, verbose)] = &files[..] else { panic!("{files:?}") };
        assert_eq!(settings, "loader/loader.conf");
        assert!(text.contains("\ntimeout 1\ndefault system.conf\n"), "{text}");
        assert_eq!(
            (first.as_str(), second.as_str()),
            ("loader/entries/system.conf", "loader/entries/verbose.conf")
        );
        assert!(entry.starts_with(
            "title Edge\nlinux /bootwright/6.1.0-1-amd64/linux\ninitrd /bootwright/6.1.0-1-amd64/initrd.img\noptions root=UUID="
        ), "{entry}");
        assert!(entry.contains(" rootflags=subvol=@ ro ") && entry.ends_with(" a=1 b\n"), "{entry}");
        assert!(verbose.starts_with("title Edge (all messages)\n"), "{verbose}");
        for (title, flag) in
            [("a\noptions init=/bin/sh", "a"), ("t", "init=/bin/sh b"), ("t", "root=/dev/sda")]
        {
            assert!(
                disk.loader_files(&menu(title, &[flag]), Digest::of("x"), "6.1").is_err(),
                "{title} {flag}"
            );
        }
    }

    #[test]
    fn subvolumes_are_mounted_in_their_places_and_grub_goes_through_them() {
        let asked = serde_json::json!({
            "root": "btrfs", "compression": true, "snapshots": {"enabled": true},
        });
        let disk = disk(asked);
        let fstab = disk.fstab();
        for line in [
            " / btrfs rw,relatime,compress=zstd:3,subvol=@,x-systemd.growfs 0 0\n",
            " /home btrfs rw,relatime,compress=zstd:3,subvol=@home,x-systemd.device-timeout=5min 0 0\n",
            " /.snapshots btrfs rw,relatime,compress=zstd:3,subvol=@snapshots,x-systemd.device-timeout=5min 0 0\n",
        ] {
            assert!(fstab.contains(line), "{fstab}");
        }
        assert!(disk.first_stage().ends_with("prefix=($root)/@/boot/grub\n"));
        let cfg = disk.grub_cfg(&menu(&[]), Digest::of("x"), "6.1").unwrap();
        assert!(
            cfg.contains("linux /@/boot/vmlinuz-6.1 root=UUID=") && cfg.contains("rootflags=subvol=@ ro ")
        );
    }

    #[test]
    fn partitions_of_their_own_are_found_and_only_the_last_grows() {
        let asked = serde_json::json!({
            "partitions": [
                {"mount": "/boot/efi", "size": "128MiB"},
                {"mount": "/boot", "size": "512MiB"},
                {"mount": "/", "size": "2GiB"},
                {"mount": "/var/lib", "size": "rest"},
            ],
            "swap": {"kind": "partition", "size": "256MiB"},
        });
        let disk = disk(asked);
        let names: Vec<&str> = disk.layout.partitions.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["efi", "swap", "boot", "root", "var-lib"]);
        let fstab = disk.fstab();
        let uuid = |number: u128| uuid::Uuid::from_u128(number);
        assert!(fstab.contains(&format!(
            "UUID={} /boot ext4 rw,relatime,errors=remount-ro,x-systemd.device-timeout=5min 0 2\n",
            uuid(0xabe)
        )));
        assert!(
            fstab.contains(&format!("UUID={} none swap sw,x-systemd.device-timeout=5min 0 0\n", uuid(0xabd)))
        );
        assert!(
            fstab.contains(" /var/lib ext4 rw,relatime,errors=remount-ro,x-systemd.growfs,x-systemd.device-timeout=5min 0 2\n"),
            "{fstab}"
        );
        assert!(fstab.find(" / ext4").unwrap() < fstab.find(" /boot ext4").unwrap());
        let first = disk.first_stage();
        assert_eq!(
            first,
            format!("search --no-floppy --fs-uuid --set=root {}\nset prefix=($root)/grub\n", uuid(0xabe))
        );
        let cfg = disk.grub_cfg(&menu(&[]), Digest::of("x"), "6.1").unwrap();
        assert!(cfg.contains(&format!("linux /vmlinuz-6.1 root=UUID={} ro", uuid(0xabf))), "{cfg}");
        let repart = disk.repart();
        assert_eq!(repart.len(), 4);
        assert!(
            repart[3].1.ends_with("Type=linux-generic\n")
                && repart[1].1.contains("Type=linux-generic\nSizeMin")
        );
    }
}
