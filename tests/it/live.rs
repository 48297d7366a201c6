//! Live systems of distributions other than Debian: what their media look like, with the real
//! xorriso and GRUB. The layers and the kernel are synthetic; nothing of this is booted here.

use super::outputs::{Disc, stack};
use bootwright::build::squashfs;
use bootwright::effects::{Cancel, Process};
use bootwright::model::event::Emitter;
use bootwright::model::settings::Compression;
use bootwright::model::spec::Base;
use bootwright::tables::{self, Grub};
use std::path::Path;
use std::sync::LazyLock;

/// GRUB's modules of this host: Debian's grub-pc-bin and grub-efi-amd64-bin.
static GRUB: LazyLock<Grub> = LazyLock::new(|| Grub {
    bios: "usr/lib/grub/i386-pc".to_owned(),
    efi: "usr/lib/grub/x86_64-efi".to_owned(),
});

fn said(process: Process) -> String {
    let output = process.check(&Cancel::default()).unwrap_or_else(|e| panic!("{e:?}"));
    format!("{}\n{}", output.text(), output.errors())
}

/// The synthetic layers as one squashfs.
fn flat(disc: &mut Disc) {
    let stack = stack(&disc.dir.path().join("flat"), &disc.dir.path().join("flat-cache"));
    let module = squashfs::flat(&stack, Compression::Fast, &Emitter::default(), &Cancel::default()).unwrap();
    disc.modules = vec![(module.name, module.path)];
}

/// Distribution, squashfs, kernel, initramfs, and words of the kernel.
const MEDIA: [(Base, &str, &str, &str, &str); 7] = [
    (
        Base::ARCH,
        "arch/x86_64/airootfs.sfs",
        "arch/boot/x86_64/vmlinuz",
        "arch/boot/x86_64/initramfs.img",
        "archisobasedir=arch archisolabel={label}",
    ),
    (
        Base::FEDORA,
        "LiveOS/squashfs.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "root=live:CDLABEL={label} rd.live.image rd.live.overlay.overlayfs=1",
    ),
    (
        Base::OPENSUSE,
        "LiveOS/squashfs.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "root=live:CDLABEL={label} rd.live.image rd.live.overlay.overlayfs=1",
    ),
    (
        Base::ALPINE,
        "LiveOS/squashfs.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "root=live:CDLABEL={label} rd.live.image rd.live.overlay.overlayfs=1",
    ),
    (
        Base::GENTOO,
        "LiveOS/squashfs.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "root=live:CDLABEL={label} rd.live.image rd.live.overlay.overlayfs=1",
    ),
    (
        Base::VOID,
        "LiveOS/squashfs.img",
        "images/pxeboot/vmlinuz",
        "images/pxeboot/initrd.img",
        "root=live:CDLABEL={label} rd.live.image rd.live.overlay.overlayfs=1",
    ),
    (
        Base::UBUNTU,
        "casper/filesystem.squashfs",
        "casper/vmlinuz",
        "casper/initrd",
        "boot=casper live-media-path=casper",
    ),
];

#[test]
fn every_live_system_finds_its_files_on_the_medium() {
    for (base, system, kernel, initrd, words) in MEDIA {
        let mut disc = Disc::new();
        flat(&mut disc);
        disc.recipe.base = base;
        disc.live = tables::of(base).live_system().unwrap();
        disc.grub = Some(&GRUB);
        let iso = disc.write("first", None).unwrap();
        assert_eq!(disc.write("second", None).unwrap().digest, iso.digest, "{base:?}: not the same twice");
        let listed =
            said(Process::new("xorriso").args(["-no_rc", "-indev"]).arg(&iso.path).args(["-find", "/"]));
        for path in [system, kernel, initrd, "EFI/BOOT/BOOTX64.EFI", "boot/grub/grub.cfg"] {
            assert!(listed.contains(&format!("'/{path}'")), "{base:?}: {path} is not in\n{listed}");
        }
        assert!(!listed.contains("filesystem.module") && !listed.contains("grubx64"), "{listed}");
        let label = listed.lines().find_map(|l| l.strip_prefix("Volume id    : '")).unwrap();
        let label = label.trim_end_matches('\'');
        let menu = disc.extract(&iso.path, "/boot/grub/grub.cfg");
        let line = menu.lines().find(|l| l.trim_start().starts_with("linux ")).unwrap();
        let expected = format!("linux /{kernel} {} bootwright.build=", words.replace("{label}", label));
        assert!(line.trim_start().starts_with(&expected), "{base:?}: {line}");
        assert!(menu.contains(&format!("initrd /{initrd}")), "{menu}");
        // Media of one image are told apart by their builds.
        assert_eq!(label.len() > "EDGE_GATEWAY".len(), words.contains("{label}"), "{label}");
    }
}

#[test]
fn a_live_system_that_stacks_nothing_gets_the_root_as_it_shows() {
    let mut disc = Disc::new();
    flat(&mut disc);
    let [(_, file)] = disc.modules.as_slice() else { panic!("one squashfs") };
    let listed = said(Process::new("unsquashfs").args(["-lln"]).arg(file));
    for shown in ["/etc/old/now-a-folder", "/var/lib/app/shown", "/etc/motd", "/usr/bin/tool"] {
        assert!(listed.contains(&format!("squashfs-root{shown}")), "{shown}: {listed}");
    }
    // What a layer took away, the marks that took it away, and the kernels beside the system.
    for gone in ["/var/lib/app/hidden", "/var/lib/never", "/boot/vmlinuz-1"] {
        assert!(!listed.contains(&format!("squashfs-root{gone}")), "{gone}: {listed}");
    }
    assert_eq!(listed.lines().filter(|l| l.starts_with('c')).count(), 1, "only /dev/null: {listed}");
    let out = disc.dir.path().join("unpacked");
    said(Process::new("unsquashfs").args(["-quiet", "-no-progress", "-d"]).arg(&out).arg(file));
    let mut mark = [0; 8];
    let opaque = rustix::fs::lgetxattr(out.join("var/lib/app"), "trusted.overlay.opaque", &mut mark);
    assert!(opaque.is_err(), "the folder is marked as hiding what lies below");
}

#[test]
fn a_live_system_of_one_squashfs_refuses_several() {
    let mut disc = Disc::new();
    disc.live = tables::of(Base::ARCH).live_system().unwrap();
    disc.grub = Some(&GRUB);
    assert!(disc.modules.len() > 1);
    assert!(disc.write("several", None).unwrap_err().message.contains("archiso has one squashfs"));
    assert!(!Path::new(&disc.dir.path().join("several/out.iso")).exists());
}

#[test]
fn grubs_modules_that_no_package_brings_are_named() {
    let mut disc = Disc::new();
    flat(&mut disc);
    disc.live = tables::of(Base::OPENSUSE).live_system().unwrap();
    disc.grub = tables::of(Base::OPENSUSE).grub.as_ref();
    let failure = disc.write("none", None).unwrap_err();
    assert!(failure.message.contains("usr/share/grub2/x86_64-efi"), "{failure}");
}
