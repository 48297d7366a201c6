//! An Image Builder whose disk images start: Debian's kernel and busybox in the places of OpenWrt's.
//!
//! Real in it: the layout of the images of x86/64 and armsr/armv8 (a FAT partition with kernel and GRUB, a squashfs as the second
//! partition, an overlay on it), GRUB for BIOS and UEFI, the kernel, `askfirst`'s words, first-boot
//! scripts that are removed when they end well, both databases of packages. procd, ubus, uci and logread
//! are scripts that say what the real ones say.

use super::fixture::{World, pack};
use super::packages::{Kept, write_one};
use crate::verify::{find, kernel, put};
use bootwright::effects::{Cancel, Process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The kernel's modules between it and its root.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "squashfs", "overlay", "virtio_console"];

/// Names of busybox.
const APPLETS: [&str; 29] = [
    "ash",
    "awk",
    "basename",
    "cat",
    "cut",
    "dmesg",
    "echo",
    "expr",
    "false",
    "grep",
    "head",
    "init",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mount",
    "mv",
    "poweroff",
    "reboot",
    "rm",
    "sed",
    "sh",
    "sha256sum",
    "sleep",
    "sort",
    "true",
    "uname",
    "wc",
];

const INIT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev
while read -r module; do $b insmod /modules/$module; done < /modules/order
while [ ! -b /dev/vda2 ]; do $b sleep 0.1; done
$b mount -t squashfs -o ro /dev/vda2 /rom
$b mount -t tmpfs tmpfs /over; $b mkdir /over/upper /over/work
$b mount -t overlay -o lowerdir=/rom,upperdir=/over/upper,workdir=/over/work overlayfs:/overlay /root
$b mount --move /proc /root/proc; $b mount --move /dev /root/dev
exec $b switch_root /root /sbin/init
";

const RC: &str = "#!/bin/sh
mount -t tmpfs tmpfs /tmp
cd /etc/uci-defaults && for script in *; do
  [ -f \"$script\" ] && ( . \"./$script\" ) && rm -f \"$script\"
done
# procd starts consoles while it still starts services.
( sleep 3; echo '<5>procd: - init complete -' > /dev/kmsg ) &
";

const UBUS: &str = "#!/bin/sh
[ \"$*\" = 'call system board' ] || exit 4
. /etc/openwrt_release
root=$(sed -n 's,^[^ ]* /rom \\([^ ]*\\) .*,\\1,p' /proc/mounts)
cat <<END
{ \"kernel\": \"$(uname -r)\", \"hostname\": \"OpenWrt\", \"model\": \"QEMU\", \"board_name\": \"qemu-standard-pc\",
  \"rootfs_type\": \"${root:-squashfs}\", \"release\": { \"distribution\": \"OpenWrt\",
  \"version\": \"$DISTRIB_RELEASE\", \"revision\": \"$DISTRIB_REVISION\", \"target\": \"$DISTRIB_TARGET\" } }
END
";

/// Makes the disk images in the place of those without a kernel.
const DISKS: &str = r#"disk() { # KIND TYPE: FAT with kernel and boot loader, and the root behind it
  kind=$1; disk=$stem-squashfs-$kind.img
  truncate -s 48M "$bin/kernel.part"; mformat -i "$bin/kernel.part" -N 0 -F ::
  mmd -i "$bin/kernel.part" ::/boot ::/boot/grub ::/efi ::/efi/boot
  mcopy -i "$bin/kernel.part" boot/vmlinuz boot/initrd.img ::/boot
  mcopy -i "$bin/kernel.part" boot/grub.cfg ::/boot/grub
  mcopy -i "$bin/kernel.part" boot/boot*.efi ::/efi/boot
  truncate -s 65M "$bin/$disk"
  printf 'label: dos\nstart=2048, size=98304, type=%s, bootable\nstart=100352, size=32768, type=83\n' "$2" | sfdisk -q "$bin/$disk"
  if [ -e boot/core.img ]; then
    dd if=boot/boot.img of="$bin/$disk" bs=440 count=1 conv=notrunc status=none
    dd if=boot/core.img of="$bin/$disk" bs=512 seek=1 conv=notrunc status=none
  fi
  dd if="$bin/kernel.part" of="$bin/$disk" bs=1M seek=1 conv=notrunc status=none
  dd if="$bin/disk.root" of="$bin/$disk" bs=1M seek=49 conv=notrunc status=none
  rm "$bin/kernel.part"; gzip -1n "$bin/$disk"
  sum=$(sha256sum < "$bin/$disk.gz" | cut -c 1-64)
  images="$images${images:+,} {\"type\": \"$kind\", \"name\": \"$disk.gz\", \"filesystem\": \"squashfs\", \"sha256\": \"$sum\", \"sha256_unsigned\": \"$sum\"}"
}
mksquashfs "$TARGET_DIR" "$bin/disk.root" -noappend -no-progress -quiet -all-root -processors 1 > /dev/null
@DISKS@
rm "$bin/disk.root"
"#;

/// What a target's images are made of.
struct Target {
    platform: &'static str,
    /// As Debian names it.
    architecture: &'static str,
    /// Calls of `disk` in [`DISKS`].
    disks: &'static str,
    console: &'static str,
    /// GRUB: format, file, a module that only this one has.
    grub: &'static [(&'static str, &'static str, &'static str)],
}

const X86: Target = Target {
    platform: "x86/64",
    architecture: "amd64",
    disks: "disk combined 83; disk combined-efi ef",
    console: "ttyS0,115200n8",
    grub: &[("i386-pc", "core.img", "biosdisk"), ("x86_64-efi", "bootx64.efi", "efi_gop")],
};

/// Its images start by UEFI alone, and do not say so.
const ARM: Target = Target {
    platform: "armsr/armv8",
    architecture: "arm64",
    disks: "disk combined ef",
    console: "ttyAMA0",
    grub: &[("arm64-efi", "bootaa64.efi", "efi_gop")],
};

/// Where kernel, busybox and GRUB of an architecture lie.
struct Parts {
    kernel: PathBuf,
    busybox: Vec<u8>,
    grub: PathBuf,
}

impl Target {
    fn of(platform: &str) -> &'static Self {
        if platform == ARM.platform { &ARM } else { &X86 }
    }

    fn parts(&self) -> Parts {
        if self.architecture == X86.architecture {
            let busybox = fs::read("/bin/busybox").expect("busybox-static is installed");
            return Parts { kernel: kernel().join("root"), busybox, grub: "/usr/lib/grub".into() };
        }
        let root = foreign(self.architecture, &["busybox-static", "grub-efi-arm64-bin"]);
        let busybox = fs::read(root.join("bin/busybox")).unwrap();
        Parts { kernel: root.clone(), busybox, grub: root.join("usr/lib/grub") }
    }
}

/// Debian's packages and cloud kernel of another architecture, unpacked once for all runs of the tests.
fn foreign(architecture: &str, packages: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("firmware-{architecture}"));
    let root = folder.join("root");
    if folder.join("done").exists() {
        return root;
    }
    let _ = fs::remove_dir_all(&folder);
    for part in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let at = folder.to_str().unwrap();
    let options = [
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures={architecture}"),
        format!("Dir::State={at}/state"),
        "Dir::State::status=/dev/null".to_owned(),
        format!("Dir::Cache={at}/cache"),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let options: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    run("apt-get", &[&options[..], &["update"]].concat(), &folder);
    let meta = format!("linux-image-cloud-{architecture}");
    run("apt-get", &[&options[..], &["download", &meta], packages].concat(), &folder);
    let meta = find(&folder, "linux-image-cloud");
    let depends = Process::new("dpkg-deb").arg("-f").arg(&meta).arg("Depends");
    let depends = depends.check(&Cancel::default()).unwrap().text();
    let image = depends.split([' ', ',']).next().unwrap().trim();
    fs::remove_file(meta).unwrap();
    run("apt-get", &[&options[..], &["download", image]].concat(), &folder);
    for package in packages.iter().chain([&image]) {
        run("dpkg-deb", &["-x", find(&folder, package).to_str().unwrap(), root.to_str().unwrap()], &folder);
    }
    fs::write(folder.join("done"), "").unwrap();
    root
}

fn run(program: &str, args: &[&str], dir: &Path) {
    Process::new(program).args(args).dir(dir).check(&Cancel::default()).unwrap();
}

/// Puts kernel, initramfs and boot loaders into a folder.
fn boot(target: &Target, parts: &Parts, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::copy(find(&parts.kernel.join("boot"), "vmlinuz"), to.join("vmlinuz")).unwrap();
    initramfs(parts, to);
    let menu = format!(
        "serial --unit=0 --speed=115200\nterminal_input console serial; terminal_output console serial\n\
         set timeout=0\nmenuentry OpenWrt {{\n  linux /boot/vmlinuz root=/dev/vda2 console=tty0 console={}\n  \
         initrd /boot/initrd.img\n}}\n",
        target.console
    );
    put(&to.join("grub.cfg"), menu.as_bytes(), 0o644);
    let early = b"search -f /boot/vmlinuz -s root\nset prefix=($root)/boot/grub\n";
    put(&to.join("early.cfg"), early, 0o644);
    let modules =
        ["fat", "part_msdos", "linux", "search", "search_fs_file", "configfile", "serial", "normal"];
    for (format, name, more) in target.grub {
        let folder = parts.grub.join(format);
        let fixed = [
            "-O",
            format,
            "-d",
            folder.to_str().unwrap(),
            "-o",
            name,
            "-p",
            "/boot/grub",
            "-c",
            "early.cfg",
            more,
        ];
        run("grub-mkimage", &[&fixed[..], &modules].concat(), to);
        let _ = fs::copy(folder.join("boot.img"), to.join("boot.img"));
    }
}

fn initramfs(parts: &Parts, to: &Path) {
    let root = to.join("initramfs");
    for folder in ["proc", "dev", "rom", "over", "root", "modules"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    put(&root.join("bin/busybox"), &parts.busybox, 0o755);
    put(&root.join("init"), INIT.as_bytes(), 0o755);
    let order = modules(&parts.kernel, &root.join("modules"));
    put(&root.join("modules/order"), order.as_bytes(), 0o644);
    let names = Process::new("find").arg(".").dir(&root).check(&Cancel::default()).unwrap().text();
    let cpio = Process::new("busybox").args(["cpio", "-o", "-H", "newc"]).dir(&root).stdin(names);
    let archive = fs::File::create(to.join("initrd.img")).unwrap();
    cpio.stdout_to(archive).check(&Cancel::default()).unwrap();
    fs::remove_dir_all(root).unwrap();
}

/// Copies modules with those that they need; their names in the order in which they are loaded.
fn modules(root: &Path, to: &Path) -> String {
    let version = find(&root.join("lib/modules"), "cloud").file_name().unwrap().to_owned();
    let version = version.to_str().unwrap();
    run("busybox", &["depmod", "-b", root.to_str().unwrap(), version], root);
    let folder = root.join("lib/modules").join(version);
    let needs = fs::read_to_string(folder.join("modules.dep")).unwrap();
    let mut order: Vec<&str> = Vec::new();
    for name in MODULES {
        let line =
            needs.lines().find(|line| line.split(':').next().unwrap().ends_with(&format!("/{name}.ko")));
        let Some((path, before)) = line.and_then(|line| line.split_once(':')) else { continue };
        // Those that it needs stand behind it, what they need behind them.
        for path in before.split_whitespace().rev().chain([path]) {
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    let names = order.iter().map(|path| {
        let name = Path::new(path).file_name().unwrap();
        fs::copy(folder.join(path), to.join(name)).unwrap();
        format!("{}\n", name.to_str().unwrap())
    });
    names.collect()
}

/// Puts an Image Builder on the server whose disk images start. `change` gets the root of `base-files`.
pub fn bootable(world: &World, version: &str, platform: &str, change: &dyn Fn(&Path)) {
    let target = Target::of(platform);
    let parts = target.parts();
    let archive = world.archive(version, platform, "zst");
    let work = tempfile::tempdir().unwrap();
    Process::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(work.path())
        .check(&Cancel::default())
        .unwrap();
    let name = fs::read_dir(work.path()).unwrap().next().unwrap().unwrap().file_name();
    let tree = work.path().join(&name);
    boot(target, &parts, &tree.join("boot"));
    let path = tree.join("scripts/image.sh");
    let script = fs::read_to_string(&path).unwrap();
    let (before, rest) = script.split_once("# A disk:").unwrap();
    let (_, after) = rest.split_once("\nfi\n").unwrap();
    let kernel = find(&parts.kernel.join("boot"), "vmlinuz");
    let kernel = kernel.file_name().unwrap().to_str().unwrap().trim_start_matches("vmlinuz-");
    let script = format!("{before}{DISKS}{after}").replace("@DISKS@", target.disks);
    fs::write(&path, script.replace("6.6.93", kernel).replace("1000000", "100000000")).unwrap();
    let packages = tree.join("packages");
    replace(&packages, "busybox", |root| {
        put(&root.join("bin/busybox"), &parts.busybox, 0o755);
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::create_dir(root.join("sbin")).unwrap();
        symlink("../bin/busybox", root.join("sbin/init")).unwrap();
    });
    replace(&packages, "base-files", |root| {
        for folder in ["proc", "dev", "tmp", "rom", "overlay", "etc/uci-defaults", "etc/rc.d"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let text = format!(
            "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='{version}'\nDISTRIB_REVISION='r28739-d9340319c6'\n\
             DISTRIB_TARGET='{platform}'\n"
        );
        put(&root.join("etc/openwrt_release"), text.as_bytes(), 0o644);
        put(&root.join("etc/passwd"), b"root::0:0:root:/root:/bin/ash\n", 0o644);
        put(&root.join("etc/profile"), b"export PS1='\\u@\\h:\\w\\$ '\n", 0o644);
        put(
            &root.join("etc/inittab"),
            b"::sysinit:/etc/init.d/rcS S boot\n::askfirst:/usr/libexec/login.sh\n",
            0o644,
        );
        put(&root.join("etc/init.d/rcS"), RC.as_bytes(), 0o755);
        put(&root.join("usr/libexec/login.sh"), b"#!/bin/sh\nexec /bin/ash --login\n", 0o755);
        put(&root.join("bin/ubus"), UBUS.as_bytes(), 0o755);
        put(&root.join("bin/uci"), b"#!/bin/sh\necho \"$*\" >> /tmp/uci\n", 0o755);
        put(&root.join("bin/logread"), b"#!/bin/sh\nexec dmesg\n", 0o755);
        change(root);
    });
    pack(work.path(), name.to_str().unwrap(), &archive);
    world.sign(version, platform);
}

/// Makes a package of a builder anew, with other files.
fn replace(packages: &Path, name: &str, fill: impl FnOnce(&Path)) {
    let index = fs::read_to_string(packages.join("index")).unwrap();
    let line = index.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned();
    let fields: Vec<&str> = line.split(' ').collect();
    let sha256 = write_one(packages, Kept { name, version: fields[1], script: "" }, fill);
    let new = [fields[0], fields[1], &sha256, fields[3], fields[4]].join(" ");
    fs::write(packages.join("index"), index.replace(&line, &new)).unwrap();
}
