//! An ISO of Arch from a made-up kernel and a made-up mkinitcpio: what is asked of them, what
//! lies on the medium, and that what does not start is not published.

use super::pacman::{About, SPEC, repository};
use super::{World, must, put};
use std::fs;
use std::path::{Path, PathBuf};

/// Writes down what it was asked and which settings it saw.
const MKINITCPIO: &str = "#!/bin/sh\necho \"asked: $*\" > /run/out/initrd\n\
    while read -r line; do echo \"$line\" >> /run/out/initrd; done < /run/mkinitcpio.conf\n";

fn command(program: &str) -> std::process::Command {
    super::command(program)
}

/// The only file with this ending below a folder.
fn the_one(folder: &Path, ending: &str) -> PathBuf {
    let found = must(command("find").arg(folder).args(["-name", &format!("*{ending}"), "-type", "f"]));
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    PathBuf::from(found[0])
}

#[test]
fn an_iso_of_arch_is_laid_out_and_not_published_before_it_starts() {
    let (dir, repository) = repository();
    let of_busybox = || About { depends: &["busybox"], ..About::default() };
    repository.package("mkinitcpio", of_busybox(), |tree| put(tree, "usr/bin/mkinitcpio", MKINITCPIO, 0o755));
    repository.package(
        "mkinitcpio-archiso",
        About { depends: &["mkinitcpio"], ..About::default() },
        |tree| {
            put(tree, "usr/lib/initcpio/hooks/archiso", "# a hook\n", 0o644);
        },
    );
    repository.package("grub", of_busybox(), |tree| {
        for kind in ["i386-pc", "x86_64-efi"] {
            fs::create_dir_all(tree.join("usr/lib/grub")).unwrap();
            must(command("cp").arg("-r").arg(format!("/usr/lib/grub/{kind}")).arg(tree.join("usr/lib/grub")));
        }
    });
    repository.index();
    let spec = SPEC.replace("[oci, rootfs]", "[iso]");
    let spec = format!("{spec}  verify: {{boot: [bios], timeoutSeconds: 30}}\n");
    let world = World::new(&spec, &repository.mirrors());
    let locked = world.run(&["lock", "--update", "tiny"]);
    assert!(locked.status.success(), "{}", super::words(&locked));
    let layer = |name: &str| world.locked().into_iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!([layer("mkinitcpio-archiso"), layer("grub")], ["kernel", "iso-boot-files"]);
    world.commit();
    let done = world.run(&["reconcile"]);
    let said = super::words(&done);
    assert!(!done.status.success() && said.contains("no signal"), "{said}");
    assert!(!world.dir.join("releases/tiny").exists(), "it was published");

    let iso = the_one(&world.dir.join(".bootwright/artifacts"), ".iso");
    let extract = |path: &str| {
        let to = dir.path().join("extracted");
        let _ = fs::remove_file(&to);
        let mut xorriso = command("xorriso");
        xorriso.args(["-no_rc", "-osirrox", "on", "-indev"]).arg(&iso).args(["-extract", path]).arg(&to);
        must(&mut xorriso);
        fs::read(&to).unwrap()
    };
    assert_eq!(extract("/arch/boot/x86_64/vmlinuz"), b"a kernel");
    let initrd = String::from_utf8(extract("/arch/boot/x86_64/initramfs.img")).unwrap();
    assert!(initrd.starts_with("asked: -c /run/mkinitcpio.conf -k 6.6 -g /run/out/initrd\n"), "{initrd}");
    assert!(initrd.contains("HOOKS=(base udev modconf archiso block filesystems keyboard)"), "{initrd}");
    let menu = String::from_utf8(extract("/boot/grub/grub.cfg")).unwrap();
    assert!(menu.contains("archisobasedir=arch archisolabel=TINY_"), "{menu}");
    extract("/arch/x86_64/airootfs.sfs");
    let squashfs = dir.path().join("extracted");
    let hello = must(command("unsquashfs").arg("-cat").arg(&squashfs).arg("usr/share/hello/hi"));
    assert_eq!(hello, "hi\n");
    let names = must(command("unsquashfs").args(["-l", "-d", ""]).arg(&squashfs));
    assert!(names.contains("/usr/bin/mkinitcpio\n") && !names.contains("/usr/lib/grub"), "{names}");
}
