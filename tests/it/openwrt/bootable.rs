//! An Image Builder whose disk images start: Debian's kernel and busybox in the places of OpenWrt's.
//!
//! Real in it: the layout of the x86 images (a FAT partition with kernel and GRUB, a squashfs as the second
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
use std::sync::OnceLock;

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
const DISKS: &str = r#"disk() { # KIND FILE…: FAT with kernel and boot loader, and the root behind it
  kind=$1; disk=$stem-squashfs-$kind.img
  truncate -s 40M "$bin/kernel.part"; mformat -i "$bin/kernel.part" -N 0 -F ::
  mmd -i "$bin/kernel.part" ::/boot ::/boot/grub ::/efi ::/efi/boot
  mcopy -i "$bin/kernel.part" boot/vmlinuz boot/initrd.img ::/boot
  mcopy -i "$bin/kernel.part" boot/grub.cfg ::/boot/grub
  mcopy -i "$bin/kernel.part" boot/bootx64.efi ::/efi/boot
  root=32768
  truncate -s $(((83968 + root) * 512)) "$bin/$disk"
  printf 'label: dos\nstart=2048, size=81920, type=%s, bootable\nstart=83968, size=%s, type=83\n' "$2" "$root" | sfdisk -q "$bin/$disk"
  dd if=boot/boot.img of="$bin/$disk" bs=440 count=1 conv=notrunc status=none
  dd if=boot/core.img of="$bin/$disk" bs=512 seek=1 conv=notrunc status=none
  dd if="$bin/kernel.part" of="$bin/$disk" bs=1M seek=1 conv=notrunc status=none
  dd if="$bin/disk.root" of="$bin/$disk" bs=512 seek=83968 conv=notrunc status=none
  rm "$bin/kernel.part"; gzip -1n "$bin/$disk"
  sum=$(sha256sum < "$bin/$disk.gz" | cut -c 1-64)
  images="$images${images:+,} {\"type\": \"$kind\", \"name\": \"$disk.gz\", \"filesystem\": \"squashfs\", \"sha256\": \"$sum\", \"sha256_unsigned\": \"$sum\"}"
}
mksquashfs "$TARGET_DIR" "$bin/disk.root" -noappend -no-progress -quiet -all-root -processors 1 > /dev/null
disk combined 83; disk combined-efi ef
rm "$bin/disk.root"
"#;

fn run(program: &str, args: &[&str], dir: &Path) {
    Process::new(program).args(args).dir(dir).check(&Cancel::default()).unwrap();
}

/// Kernel, initramfs and boot loaders, made once.
fn boot() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path();
        fs::copy(find(&kernel().join("root/boot"), "vmlinuz"), to.join("vmlinuz")).unwrap();
        initramfs(to);
        fs::copy("/usr/lib/grub/i386-pc/boot.img", to.join("boot.img")).unwrap();
        put(&to.join("early.cfg"), b"search -f /boot/vmlinuz -s root\nset prefix=($root)/boot/grub\n", 0o644);
        let menu = "serial --unit=0 --speed=115200\nterminal_input console serial; terminal_output console serial\n\
            set timeout=0\nmenuentry OpenWrt {\n  linux /boot/vmlinuz root=/dev/vda2 console=tty0 console=ttyS0,115200n8\n  \
            initrd /boot/initrd.img\n}\n";
        put(&to.join("grub.cfg"), menu.as_bytes(), 0o644);
        let modules = ["fat", "part_msdos", "linux", "search", "search_fs_file", "configfile", "serial", "normal"];
        for (format, name, more) in [("i386-pc", "core.img", "biosdisk"), ("x86_64-efi", "bootx64.efi", "efi_gop")] {
            let fixed = ["-O", format, "-o", name, "-p", "/boot/grub", "-c", "early.cfg", more];
            run("grub-mkimage", &[&fixed[..], &modules].concat(), to);
        }
        folder
    });
    made.path()
}

fn initramfs(to: &Path) {
    let root = to.join("initramfs");
    for folder in ["proc", "dev", "rom", "over", "root", "modules"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    put(&root.join("bin/busybox"), &busybox(), 0o755);
    put(&root.join("init"), INIT.as_bytes(), 0o755);
    let order = modules(&root.join("modules"));
    put(&root.join("modules/order"), order.as_bytes(), 0o644);
    let names = Process::new("find").arg(".").dir(&root).check(&Cancel::default()).unwrap().text();
    let cpio = Process::new("busybox").args(["cpio", "-o", "-H", "newc"]).dir(&root).stdin(names);
    let archive = fs::File::create(to.join("initrd.img")).unwrap();
    cpio.stdout_to(archive).check(&Cancel::default()).unwrap();
}

fn busybox() -> Vec<u8> {
    fs::read("/bin/busybox").expect("busybox-static is installed")
}

/// Copies modules with those that they need; their names in the order in which they are loaded.
fn modules(to: &Path) -> String {
    let root = kernel().join("root");
    let version = find(&root.join("lib/modules"), "cloud").file_name().unwrap().to_owned();
    let version = version.to_str().unwrap();
    run("busybox", &["depmod", "-b", root.to_str().unwrap(), version], &root);
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

/// The version of the kernel, as it says it.
fn release() -> String {
    let image: PathBuf = find(&kernel().join("root/boot"), "vmlinuz");
    image.file_name().unwrap().to_str().unwrap().trim_start_matches("vmlinuz-").to_owned()
}

/// Puts an Image Builder on the server whose x86 images start. `change` gets the root of `base-files`.
pub fn bootable(world: &World, version: &str, change: &dyn Fn(&Path)) {
    let archive = world.archive(version, "x86/64", "zst");
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
    fs::create_dir(tree.join("boot")).unwrap();
    for file in ["vmlinuz", "initrd.img", "boot.img", "core.img", "bootx64.efi", "grub.cfg"] {
        fs::copy(boot().join(file), tree.join("boot").join(file)).unwrap();
    }
    let path = tree.join("scripts/image.sh");
    let script = fs::read_to_string(&path).unwrap();
    let (before, rest) = script.split_once("# A disk:").unwrap();
    let (_, after) = rest.split_once("\nfi\n").unwrap();
    fs::write(
        &path,
        format!("{before}{DISKS}{after}").replace("6.6.93", &release()).replace("1000000", "100000000"),
    )
    .unwrap();
    let packages = tree.join("packages");
    replace(&packages, "busybox", |root| {
        put(&root.join("bin/busybox"), &busybox(), 0o755);
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
             DISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\n"
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
    world.sign(version, "x86/64");
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
