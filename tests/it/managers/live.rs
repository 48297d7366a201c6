//! ISOs of distributions other than Debian, from made-up kernels and initramfs generators: what
//! is asked of those, what lies on the medium, and that what does not start is not published.

use super::pacman::{About, SPEC, repository};
use super::{World, apk, command, emerge, must, put, rpm, xbps};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes down what it was asked and which settings it saw.
const MKINITCPIO: &str = "#!/bin/sh\necho \"asked: $*\" > /run/out/initrd\n\
    while read -r line; do echo \"$line\" >> /run/out/initrd; done < /run/mkinitcpio.conf\n";
/// Writes down what it was asked.
const DRACUT: &str = "#!/bin/sh\necho \"asked: $*\" > /run/out/initrd\n";

/// The only file with this ending below a folder.
fn the_one(folder: &Path, ending: &str) -> PathBuf {
    let found = must(command("find").arg(folder).args(["-name", &format!("*{ending}"), "-type", "f"]));
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    PathBuf::from(found[0])
}

/// GRUB's modules, as this host has them.
fn grub(tree: &Path, kinds: &[&str]) {
    fs::create_dir_all(tree.join("usr/lib/grub")).unwrap();
    for kind in kinds {
        must(command("cp").arg("-r").arg(format!("/usr/lib/grub/{kind}")).arg(tree.join("usr/lib/grub")));
    }
}

/// A spec that asks for an ISO in place of archives.
fn iso_of(spec: &str) -> String {
    let spec = spec.replace("[oci, rootfs]", "[iso]");
    assert!(spec.contains("[iso]"), "{spec}");
    format!("{spec}  verify: {{boot: [bios], timeoutSeconds: 30}}\n")
}

/// What is wanted of a medium: paths on it, and texts.
struct Medium<'a> {
    squashfs: &'a str,
    kernel: &'a str,
    initrd: &'a str,
    /// How the initramfs begins.
    asked: &'a str,
    /// A word of the kernel's.
    word: &'a str,
}

/// Builds, does not publish, and looks at the medium. Gives the text of the initramfs.
fn laid_out(world: &World, medium: &Medium<'_>) -> String {
    let said = world.not_built();
    assert!(said.contains("no signal"), "{said}");
    assert!(!world.dir.join("releases/tiny").exists(), "it was published");
    let iso = the_one(&world.dir.join(".bootwright/artifacts"), ".iso");
    let extracted = world.dir.join("../extracted");
    let extract = |path: &str| {
        let _ = fs::remove_file(&extracted);
        let mut xorriso = command("xorriso");
        xorriso.args(["-no_rc", "-osirrox", "on", "-indev"]).arg(&iso);
        must(xorriso.args(["-extract", &format!("/{path}")]).arg(&extracted));
        fs::read(&extracted).unwrap()
    };
    assert_eq!(extract(medium.kernel), b"a kernel");
    let initrd = String::from_utf8(extract(medium.initrd)).unwrap();
    assert!(initrd.starts_with(medium.asked), "{initrd}");
    let menu = String::from_utf8(extract("boot/grub/grub.cfg")).unwrap();
    assert!(menu.contains(medium.word), "{menu}");
    extract(medium.squashfs);
    let hello = must(command("unsquashfs").arg("-cat").arg(&extracted).arg("usr/share/hello/hi"));
    assert_eq!(hello, "hi\n");
    let names = must(command("unsquashfs").args(["-l", "-d", ""]).arg(&extracted));
    assert!(!names.contains("/usr/lib/grub"), "{names}");
    initrd
}

/// dracut's live system, with a kernel of this version.
fn laid_out_by_dracut(world: &World, version: &str) {
    let asked = format!(
        "asked: --force --no-hostonly --no-hostonly-cmdline --reproducible --add dmsquash-live --gzip --kver \
         {version} /run/out/initrd\n"
    );
    laid_out(
        world,
        &Medium {
            squashfs: "LiveOS/squashfs.img",
            kernel: "images/pxeboot/vmlinuz",
            initrd: "images/pxeboot/initrd.img",
            asked: &asked,
            word: "root=live:CDLABEL=TINY_",
        },
    );
}

#[test]
fn an_iso_of_arch_is_laid_out_and_not_published_before_it_starts() {
    let (_dir, repository) = repository();
    let of_busybox = || About { depends: &["busybox"], ..About::default() };
    repository.package("mkinitcpio", of_busybox(), |tree| put(tree, "usr/bin/mkinitcpio", MKINITCPIO, 0o755));
    repository.package(
        "mkinitcpio-archiso",
        About { depends: &["mkinitcpio"], ..About::default() },
        |tree| {
            put(tree, "usr/lib/initcpio/hooks/archiso", "# a hook\n", 0o644);
        },
    );
    repository.package("grub", of_busybox(), |tree| grub(tree, &["i386-pc", "x86_64-efi"]));
    repository.index();
    let world = World::new(&iso_of(SPEC), &repository.mirrors());
    let medium = Medium {
        squashfs: "arch/x86_64/airootfs.sfs",
        kernel: "arch/boot/x86_64/vmlinuz",
        initrd: "arch/boot/x86_64/initramfs.img",
        asked: "asked: -c /run/mkinitcpio.conf -k 6.6 -g /run/out/initrd\n",
        word: "archisobasedir=arch archisolabel=TINY_",
    };
    let initrd = laid_out(&world, &medium);
    assert!(initrd.contains("HOOKS=(base udev modconf archiso block filesystems keyboard)"), "{initrd}");
    assert_eq!([world.layer_of("mkinitcpio-archiso"), world.layer_of("grub")], ["kernel", "iso-boot-files"]);
}

#[test]
fn an_iso_of_fedora_is_laid_out_by_dracut() {
    let repository = rpm::Repository::new(&rpm::FEDORA);
    repository.plain("dracut", |tree| put(tree, "usr/bin/dracut", DRACUT, 0o755));
    repository.plain("dracut-live", |tree| put(tree, "usr/lib/dracut/dmsquash-live", "", 0o644));
    repository.plain("grub2-pc-modules", |tree| grub(tree, &["i386-pc"]));
    repository.plain("grub2-efi-x64-modules", |tree| grub(tree, &["x86_64-efi"]));
    repository.index();
    laid_out_by_dracut(&World::new(&iso_of(&repository.spec("[hello]")), &repository.mirrors()), "6.6");
}

#[test]
fn an_iso_of_gentoo_is_laid_out_by_dracut() {
    let repository = emerge::Repository::new();
    repository.package("sys-kernel/dracut", "sys-apps/busybox", "", |tree| {
        put(tree, "usr/bin/dracut", DRACUT, 0o755);
    });
    for name in ["app-arch/zstd", "sys-fs/lvm2"] {
        repository.package(name, "sys-apps/busybox", "", |_| {});
    }
    repository
        .package("sys-boot/grub", "sys-apps/busybox", "", |tree| grub(tree, &["i386-pc", "x86_64-efi"]));
    repository.index();
    laid_out_by_dracut(&World::new(&iso_of(emerge::SPEC), &repository.mirrors()), "6.6");
}

#[test]
fn an_iso_of_alpine_is_laid_out_by_dracut() {
    if !apk::is_there() {
        return;
    }
    let repository = apk::Repository::new();
    repository.package("dracut-modules", &["busybox"], "", |tree| put(tree, "usr/bin/dracut", DRACUT, 0o755));
    for name in ["cpio", "device-mapper", "eudev", "findutils", "kmod", "zstd"] {
        repository.package(name, &["busybox"], "", |_| {});
    }
    repository.package("grub-bios", &["busybox"], "", |tree| grub(tree, &["i386-pc"]));
    repository.package("grub-efi", &["busybox"], "", |tree| grub(tree, &["x86_64-efi"]));
    repository.index("test");
    let world = World::new(&iso_of(&apk::spec("hello")), &repository.mirrors("test"));
    // Alpine's kernels are named by the end of their version.
    laid_out_by_dracut(&world, "6.6.1-0-lts");
}

#[test]
fn an_iso_of_void_is_laid_out_by_dracut() {
    if !xbps::is_there() {
        return;
    }
    let repository = xbps::Repository::new();
    repository.package("dracut", "busybox>=1", |tree| put(tree, "usr/bin/dracut", DRACUT, 0o755));
    repository.package("grub", "busybox>=1", |tree| grub(tree, &["i386-pc"]));
    repository.package("grub-x86_64-efi", "busybox>=1", |tree| grub(tree, &["x86_64-efi"]));
    repository.index("test");
    let world = World::new(&iso_of(&xbps::spec("hello")), &repository.mirrors("test", ""));
    laid_out_by_dracut(&world, "6.6");
}
