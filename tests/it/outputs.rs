//! Outputs from synthetic layers: what goes in comes out again through the real tools
//! (unsquashfs, tar, skopeo, umoci, docker-registry, xorriso, mtools), and the same layers
//! give the same bytes whatever the host does.
//!
//! Needs root (device nodes, `trusted.*` attributes) and the tools; fails loudly without.

use super::registry::Registry;
use bootwright::build::entry::Kind;
use bootwright::build::iso::{self, IsoInput};
use bootwright::build::oci::{self, OciInput};
use bootwright::build::registry::{self, Credentials};
use bootwright::build::stack::{Kernel, Stack, StackedLayer};
use bootwright::build::union::Found;
use bootwright::build::{rootfs, squashfs, union};
use bootwright::effects::{Cancel, Process};
use bootwright::model::event::Emitter;
use bootwright::model::recipe::{BootMenu, LayerId};
use bootwright::model::settings::Compression;
use bootwright::model::spec::{Architecture, Base, Limits, Size, Verify};
use bootwright::model::{Digest, ErrorCode, FailureClass, Recipe};
use bootwright::tables::{self, Grub, Live};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub(crate) const EPOCH: i64 = 1_700_000_000;
/// `cap_net_raw=ep` as the kernel stores it (`struct vfs_cap_data`, revision 2).
pub(crate) const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn long_name() -> String {
    format!("usr/share/{}/{}-ü", "d".repeat(120), "f".repeat(150))
}

pub(crate) fn put(root: &Path, path: &str, content: &str) -> PathBuf {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn node(path: &Path, kind: FileType, major: u32, minor: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).expect("these tests need root");
}

fn mark(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("these tests need root");
}

/// Three layers with everything that can go wrong: removed, replaced and hidden names, links,
/// owners, capabilities, devices, long names.
fn layers(root: &Path) -> Vec<PathBuf> {
    let bottom = root.join("bottom");
    let tool = put(&bottom, "usr/bin/tool", "tool");
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o4755)).unwrap();
    fs::hard_link(&tool, bottom.join("usr/bin/also-tool")).unwrap();
    mark(&put(&bottom, "usr/bin/ping", "ping"), "security.capability", &CAPABILITY);
    symlink("usr/bin", bottom.join("bin")).unwrap();
    put(&bottom, "etc/old", "old");
    put(&bottom, "etc/replaced", "was a file");
    put(&bottom, "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    put(&bottom, "var/lib/app/hidden", "hidden");
    put(&bottom, "var/lib/kept/kept", "kept");
    put(&bottom, &long_name(), "long");
    put(&bottom, "usr/sbin/init", "#!/bin/sh\n");
    symlink("usr/sbin", bottom.join("sbin")).unwrap();
    symlink("../../../../etc/passwd", bottom.join("etc/escape")).unwrap();
    symlink("loop", bottom.join("etc/loop")).unwrap();
    let home = put(&bottom, "home/live/file", "mine");
    std::os::unix::fs::chown(&home, Some(3_000_000), Some(1000)).unwrap();
    node(&bottom.join("dev/null"), FileType::CharacterDevice, 1, 3);
    node(&bottom.join("run/pipe"), FileType::Fifo, 0, 0);
    put(&bottom, "boot/vmlinuz-1", "kernel");
    put(&bottom, "boot/initrd.img-1", "initramfs");
    put(&bottom, "boot/config-1", "config");

    let middle = root.join("middle");
    node(&middle.join("etc/old"), FileType::CharacterDevice, 0, 0);
    put(&middle, "etc/passwd", "root:x:0:0::/root:/bin/bash\n");
    put(&middle, "var/lib/app/shown", "shown");
    mark(&middle.join("var/lib/app"), "trusted.overlay.opaque", b"y");
    put(&middle, "var/lib/new/new", "new");
    mark(&middle.join("var/lib/new"), "trusted.overlay.opaque", b"y");
    node(&middle.join("var/lib/never"), FileType::CharacterDevice, 0, 0);

    let top = root.join("top");
    put(&top, "etc/old/now-a-folder", "x");
    put(&top, "etc/replaced/now-a-folder", "x");
    put(&top, "etc/motd", "one line\n");
    vec![bottom, middle, top]
}

pub(crate) fn stack(root: &Path, cache: &Path) -> Stack {
    let names = ["bootstrap", "configuration", "overlay"];
    let layers = layers(root);
    Stack { layers: named(&names, &layers), epoch: EPOCH, cache: cache.to_owned() }
}

fn named(names: &[&str], folders: &[PathBuf]) -> Vec<StackedLayer> {
    let layer = |(name, folder): (&&str, &PathBuf)| StackedLayer {
        name: (*name).to_owned(),
        id: LayerId(Digest::of(name)),
        epoch: EPOCH,
        folder: folder.clone(),
        cached: false,
        // Large enough to be a squashfs module of its own.
        size: 40 << 20,
    };
    names.iter().zip(folders).map(layer).collect()
}

pub(crate) fn recipe() -> Recipe {
    Recipe {
        build_format: 1,
        image: "edge-gateway".parse().unwrap(),
        base: Base::DEBIAN,
        suite: "bookworm".parse().unwrap(),
        architecture: Architecture::X86_64,
        epoch: EPOCH,
        layers: Vec::new(),
        outputs: Vec::new(),
        compression: Compression::Fast,
        boot_files: Vec::new(),
        boot_menu: BootMenu {
            kind: Default::default(),
            title: "Edge gateway".to_owned(),
            timeout: 3,
            splash: None,
            colors: None,
            kernel_flags: vec!["net.ifnames=0".to_owned()],
        },
        verify: Verify::default(),
        limits: Limits::default(),
        lock: Digest::of("lock"),
    }
}

pub(crate) fn run(process: Process) -> String {
    process.check(&Cancel::default()).unwrap_or_else(|f| panic!("{f}: {:?}", f.details)).text()
}

pub(crate) fn quiet() -> (Emitter, Cancel) {
    (Emitter::default(), Cancel::default())
}

/// Runs `work` with another umask than the rest of the process.
pub(crate) fn with_umask<T: Send>(mask: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| {
        let thread = threads.spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
            work()
        });
        thread.join().unwrap()
    })
}

/// What the stack has to look like once it is unpacked, by whatever tool.
fn assert_tree(root: &Path, boot: bool) {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(text("etc/passwd"), "root:x:0:0::/root:/bin/bash\n");
    assert_eq!(text("etc/motd"), "one line\n");
    assert_eq!(text("etc/old/now-a-folder"), "x");
    assert_eq!(text("etc/replaced/now-a-folder"), "x");
    assert_eq!(text("var/lib/app/shown"), "shown");
    assert_eq!(text("var/lib/new/new"), "new");
    assert_eq!(text("var/lib/kept/kept"), "kept");
    assert_eq!(text(&long_name()), "long");
    assert!(!root.join("var/lib/app/hidden").exists());
    assert!(fs::symlink_metadata(root.join("var/lib/never")).is_err());
    let meta = |path: &str| fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(meta("usr/bin/tool").ino(), meta("usr/bin/also-tool").ino());
    assert_eq!(meta("usr/bin/tool").mode() & 0o7777, 0o4755);
    assert_eq!((meta("home/live/file").uid(), meta("home/live/file").gid()), (3_000_000, 1000));
    assert_eq!(meta("etc/motd").mtime(), EPOCH);
    assert_eq!(meta("dev/null").rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    let mut capability = [0; 64];
    let n = rustix::fs::lgetxattr(root.join("usr/bin/ping"), "security.capability", &mut capability[..]);
    assert_eq!(&capability[..n.unwrap()], CAPABILITY);
    assert_eq!(root.join("boot/vmlinuz-1").exists(), boot);
}

#[test]
fn the_union_hides_removes_and_follows_links_inside() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), dir.path());
    let read =
        |path: &str| union::read(&stack, path, 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap());
    assert_eq!(read("etc/motd").as_deref(), Some("one line\n"));
    assert_eq!(read("/bin/tool").as_deref(), Some("tool"), "through a link");
    assert_eq!(read("etc/escape").unwrap(), "root:x:0:0::/root:/bin/bash\n", "not the host's");
    assert_eq!(read("../../etc/motd").as_deref(), Some("one line\n"));
    for gone in
        ["etc/old", "etc/replaced", "etc/loop", "var/lib/app/hidden", "var/lib/never", "etc/motd/x", "nope"]
    {
        assert_eq!(read(gone), None, "{gone}");
    }
    assert!(union::read(&stack, "etc/motd", 3).is_err(), "larger than allowed");
    assert_eq!(union::names(&stack, "var/lib").unwrap().unwrap(), ["app", "kept", "new"]);
    assert_eq!(union::names(&stack, "etc/motd").unwrap(), None);

    let paths: Vec<PathBuf> = union::walk(&stack).map(|f| f.unwrap().entry.path).collect();
    assert_eq!(paths[0], Path::new(""));
    assert!(paths.is_sorted(), "{paths:?}");
    let links = union::walk(&stack).filter(|f| f.as_ref().unwrap().link.is_some()).count();
    assert_eq!(links, 1);
}

#[test]
fn traces_of_overlayfs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    mark(&stack.layers[2].folder.join("etc/motd"), "trusted.overlay.origin", b"host");
    let (events, cancel) = quiet();
    let failure = squashfs::modules(&stack, Compression::Fast, &events, &cancel).unwrap_err();
    assert_eq!(failure.class, FailureClass::Bug);
    assert!(failure.message.contains("trusted.overlay.origin"), "{failure}");
    assert!(union::walk(&stack).any(|found| found.is_err()));
}

#[test]
fn squashfs_modules_keep_marks_and_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let (events, cancel) = quiet();
    let make = |name: &str, mask| {
        let root = dir.path().join(name);
        with_umask(mask, || {
            let stack = stack(&root, &root.join("cache=\\ x"));
            squashfs::modules(&stack, Compression::Fast, &Emitter::default(), &Cancel::default()).unwrap()
        })
    };
    let one = make("one", 0o022);
    // Another second: nothing of the host's clock may get in.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two = make("two/other/path", 0o022);
    assert_eq!(one.len(), 3);
    assert_eq!(one[1].name, "01-configuration.squashfs");
    for (a, b) in one.iter().zip(&two) {
        assert!(fs::read(&a.path).unwrap() == fs::read(&b.path).unwrap(), "{} differs", a.name);
    }
    let list = run(Process::new("unsquashfs").args(["-lln"]).arg(&one[1].path));
    let whiteout = list.lines().find(|l| l.ends_with("squashfs-root/etc/old")).unwrap();
    assert!(whiteout.starts_with("crw") && whiteout.contains("0,  0"), "{whiteout}");
    let out = dir.path().join("out");
    run(Process::new("unsquashfs").args(["-q", "-n", "-d"]).arg(&out).arg(&one[1].path));
    let mut value = [0; 8];
    let n = rustix::fs::lgetxattr(out.join("var/lib/app"), "trusted.overlay.opaque", &mut value[..]);
    assert_eq!(&value[..n.unwrap()], b"y");
    let bottom = run(Process::new("unsquashfs").args(["-l"]).arg(&one[0].path));
    assert!(bottom.contains("boot/config-1"));
    assert!(!bottom.contains("vmlinuz") && !bottom.contains("initrd"), "the kernel lies beside");

    // A second time nothing is made, a module that was cut short is made again.
    let root = dir.path().join("one");
    let stack = Stack {
        layers: named(
            &["bootstrap", "configuration", "overlay"],
            &["bottom", "middle", "top"].map(|n| root.join(n)),
        ),
        epoch: EPOCH,
        cache: root.join("cache=\\ x"),
    };
    let made = |path: &Path| fs::metadata(path).unwrap().ino();
    let before: Vec<_> = one.iter().map(|m| made(&m.path)).collect();
    fs::OpenOptions::new().write(true).open(&one[2].path).unwrap().set_len(100).unwrap();
    let again = squashfs::modules(&stack, Compression::Fast, &events, &cancel).unwrap();
    let after: Vec<_> = again.iter().map(|m| made(&m.path)).collect();
    assert_eq!(before[..2], after[..2]);
    assert_eq!(again[2].size, two[2].size);
    assert!(fs::read_dir(root.join("cache=\\ x/modules/work")).unwrap().next().is_none(), "nothing is left");
}

#[test]
fn a_shared_module_shows_the_same_tree_as_its_layers() {
    let dir = tempfile::tempdir().unwrap();
    let mut stack = stack(dir.path(), &dir.path().join("cache"));
    stack.layers.iter_mut().for_each(|layer| layer.size = 100);
    for shared in [1, 0] {
        // First the upper two, then all three.
        stack.layers[1].name = if shared == 1 { "configuration" } else { "base" }.to_owned();
        let (events, cancel) = quiet();
        let modules = squashfs::modules(&stack, Compression::Fast, &events, &cancel).unwrap();
        assert_eq!(modules.len(), shared + 1);
        let folders: Vec<PathBuf> = modules
            .iter()
            .map(|module| {
                let out = dir.path().join(format!("{shared}-{}", module.name));
                run(Process::new("unsquashfs").args(["-q", "-n", "-d"]).arg(&out).arg(&module.path));
                out
            })
            .collect();
        let names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
        let stacked = Stack { layers: named(&names, &folders), ..stack.clone() };
        let told = |stack: &Stack| -> Vec<String> {
            union::walk(stack)
                .map(|found| found.unwrap())
                .filter(|found| {
                    let name = found.entry.path.to_string_lossy().into_owned();
                    !name.starts_with("boot/vmlinuz") && !name.starts_with("boot/initrd")
                })
                .map(|Found { entry: e, link }| {
                    let kind = match e.kind {
                        // Marks need not be the same, their effect shows in the names.
                        Kind::Folder { .. } => "folder".to_owned(),
                        Kind::File { size } => format!("{size} {}", Digest::of(fs::read(&e.source).unwrap())),
                        other => format!("{other:?}"),
                    };
                    let about = (e.mode, e.uid, e.gid, e.mtime, e.xattrs, link);
                    format!("{} {kind} {about:?}", e.path.display())
                })
                .collect()
        };
        assert_eq!(told(&stacked), told(&stack));
    }
}

#[test]
fn processors_do_not_show_in_a_module() {
    let dir = tempfile::tempdir().unwrap();
    let folder = layers(dir.path()).remove(0);
    // Enough content that two processors have something to share out.
    for i in 0..300 {
        put(&folder, &format!("data/{i}"), &format!("{i} ").repeat(i * 97));
    }
    let make = |processors: &str| {
        let out = dir.path().join(processors);
        run(Process::new("mksquashfs")
            .arg(&folder)
            .arg(&out)
            .args(["-noappend", "-no-progress", "-quiet", "-no-exports", "-comp", "zstd"])
            .args(["-processors", processors])
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string()));
        fs::read(out).unwrap()
    };
    assert!(make("1") == make("2"));
}

#[test]
fn the_root_filesystem_archive_unpacks_to_the_same_tree() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, mask| {
        let root = dir.path().join(name);
        let out = root.join("out.tar.zst");
        with_umask(mask, || {
            let stack = stack(&root, &root);
            rootfs::write(&stack, &recipe(), &out, &Emitter::default(), &Cancel::default()).unwrap()
        })
    };
    let one = make("one", 0o022);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two = make("two/deeper", 0o022);
    assert_eq!(one.digest, two.digest);
    assert_eq!(one.digest, Digest::of(fs::read(&one.path).unwrap()));
    let out = dir.path().join("tree");
    fs::create_dir(&out).unwrap();
    run(Process::new("tar")
        .args(["--zstd", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"])
        .arg(&one.path)
        .arg("-C")
        .arg(&out));
    assert_tree(&out, true);
}

#[test]
fn limits_name_the_excess_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    let (events, cancel) = quiet();
    let mut recipe = recipe();
    recipe.limits.rootfs_size = Some(Size::from_bytes(100));
    recipe.limits.oci_size = Some(Size::from_bytes(100));
    let out = dir.path().join("out");
    let rootfs = rootfs::write(&stack, &recipe, &out, &events, &cancel).unwrap_err();
    let oci = oci::write(&oci_input(&stack, &recipe, &out), &events, &cancel).unwrap_err();
    for (failure, field) in [(rootfs, "limits.rootfsSize"), (oci, "limits.ociSize")] {
        assert_eq!((failure.class, failure.code), (FailureClass::Limit, ErrorCode::LimitExceeded));
        assert!(failure.message.starts_with(&format!("edge-gateway: {field}: ")), "{failure}");
        assert!(failure.details.unwrap().contains("bootstrap"));
    }
    assert!(!out.exists() && !dir.path().join("out.part").exists());
}

fn oci_input<'a>(stack: &'a Stack, recipe: &'a Recipe, out: &'a Path) -> OciInput<'a> {
    OciInput {
        stack,
        recipe,
        build_id: Digest::of("build"),
        version: Some("20260101-abcdef12"),
        commit: None,
        description: Some("An image"),
        out,
    }
}

#[test]
fn the_oci_image_is_taken_by_skopeo_and_umoci() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, mask| {
        let root = dir.path().join(name);
        let out = root.join("out.oci.tar");
        with_umask(mask, || {
            let stack = stack(&root, &root.join("cache"));
            oci::write(&oci_input(&stack, &recipe(), &out), &Emitter::default(), &Cancel::default()).unwrap()
        })
    };
    let one = make("one", 0o022);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two = make("two/deeper", 0o022);
    assert_eq!(one.digest, two.digest);

    assert_eq!(fs::metadata(&one.path).unwrap().mode() & 0o777, 0o644);

    let archive = format!("oci-archive:{}:edge-gateway:20260101-abcdef12", one.path.display());
    let config = run(Process::new("skopeo").args(["inspect", "--config"]).arg(&archive));
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["config"]["Cmd"][0], "/sbin/init");
    assert_eq!(config["config"]["StopSignal"], "SIGRTMIN+3");
    assert_eq!(config["history"][1]["created_by"], "bootwright: layer configuration");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "20260101-abcdef12");

    // skopeo checks every digest and diff_id on the way; umoci unpacks with whiteouts, but
    // umoci 0.4 knows no zstd, so skopeo packs the layers anew for it.
    let copy = || Process::new("skopeo").args(["copy", "--insecure-policy", "--quiet"]);
    run(copy().arg(&archive).arg(format!("dir:{}", dir.path().join("dir").display())));
    let layout = dir.path().join("layout");
    run(copy()
        .args(["--dest-compress", "--dest-compress-format", "gzip", &archive])
        .arg(format!("oci:{}:x", layout.display())));
    let bundle = dir.path().join("bundle");
    run(Process::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:x", layout.display()))
        .arg(&bundle)
        .env("HOME", dir.path()));
    assert_tree(&bundle.join("rootfs"), true);
}

#[test]
fn only_marks_that_mean_something_are_in_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    let (events, cancel) = quiet();
    let blobs = oci::layer::blobs(&stack, Compression::Fast, &events, &cancel).unwrap();
    let names = run(Process::new("tar").args(["--zstd", "-tf"]).arg(&blobs[1].path));
    let marks: Vec<&str> = names.lines().filter(|l| l.contains(".wh.")).collect();
    assert_eq!(marks, ["etc/.wh.old", "var/lib/app/.wh..wh..opq"]);
    // One changed layer makes one new blob.
    let mut changed = stack.clone();
    put(&stack.layers[2].folder, "etc/motd", "another line\n");
    changed.layers[2].id = LayerId(Digest::of("changed"));
    let again = oci::layer::blobs(&changed, Compression::Fast, &events, &cancel).unwrap();
    assert_eq!(blobs[..2], again[..2]);
    assert_ne!(blobs[2].digest, again[2].digest);
}

#[test]
fn a_name_like_a_whiteout_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    put(&stack.layers[2].folder, "etc/.wh.passwd", "");
    let (events, cancel) = quiet();
    let failure =
        oci::write(&oci_input(&stack, &recipe(), &dir.path().join("x")), &events, &cancel).unwrap_err();
    assert_eq!(failure.class, FailureClass::Spec);
    assert!(failure.message.contains("/etc/.wh.passwd"), "{failure}");
}

#[test]
fn a_damaged_blob_is_noticed_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    let (events, cancel) = quiet();
    let (recipe, out) = (recipe(), dir.path().join("out"));
    let whole = oci::write(&oci_input(&stack, &recipe, &out), &events, &cancel).unwrap();
    let blob = oci::layer::blobs(&stack, Compression::Fast, &events, &cancel).unwrap().remove(0).path;
    let damage = || {
        let mut bytes = fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&blob, bytes).unwrap();
    };
    // What left a trace is made again at once.
    damage();
    assert_eq!(oci::write(&oci_input(&stack, &recipe, &out), &events, &cancel).unwrap().digest, whole.digest);
    // What left none is found when the bytes are read.
    let dates = fs::metadata(&blob).unwrap();
    damage();
    let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let as_before = rustix::fs::Timestamps {
        last_access: time(dates.atime(), dates.atime_nsec()),
        last_modification: time(dates.mtime(), dates.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, &blob, &as_before, rustix::fs::AtFlags::empty()).unwrap();
    let failure = oci::write(&oci_input(&stack, &recipe, &out), &events, &cancel).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Corrupt);
    let again = oci::write(&oci_input(&stack, &recipe, &out), &events, &cancel).unwrap();
    assert_eq!(whole.digest, again.digest);
}

#[test]
fn a_layout_folder_holds_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    let (events, cancel) = quiet();
    let recipe = recipe();
    let folder = dir.path().join("layout");
    let input = oci_input(&stack, &recipe, Path::new("unused"));
    let digest = oci::write_folder(&input, &folder, &events, &cancel).unwrap();
    let seen = run(Process::new("skopeo")
        .args(["inspect", "--format", "{{.Digest}}"])
        .arg(format!("oci:{}", folder.display())));
    assert_eq!(seen.trim(), digest.to_string());
    assert!(
        oci::write_folder(&input, &folder, &events, &cancel).is_err(),
        "an existing folder is left alone"
    );
}

fn image(dir: &Path) -> PathBuf {
    let stack = stack(dir, &dir.join("cache"));
    let (events, cancel) = quiet();
    let out = dir.join("out.oci.tar");
    oci::write(&oci_input(&stack, &recipe(), &out), &events, &cancel).unwrap();
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_arrives_whole_and_sends_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), "");
    let archive = image(dir.path());
    let (events, cancel) = quiet();
    let target = format!("{}/team/edge-gateway:20260101-abcdef12", registry.host);
    let push = || registry::push(&archive, &target, &Credentials::Anonymous, &events, &cancel);
    let first = push().await.unwrap();
    assert!(first.sent > 0);
    let seen = run(Process::new("skopeo")
        .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
        .arg(format!("docker://{target}")));
    assert_eq!(seen.trim(), first.digest.to_string());
    let back = dir.path().join("back");
    run(Process::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"])
        .arg(format!("docker://{target}"))
        .arg(format!("oci:{}:x", back.display())));
    let second = push().await.unwrap();
    assert_eq!((second.digest, second.sent), (first.digest, 0));
    cancel.request();
    assert_eq!(push().await.unwrap_err().class, FailureClass::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_permission_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    // htpasswd -nbB -C 5 pusher hunter2
    fs::write(&users, "pusher:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n").unwrap();
    let access = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display());
    let registry = Registry::start(dir.path(), &access);
    let archive = image(dir.path());
    let (events, cancel) = quiet();
    let target = format!("{}/team/edge-gateway:1", registry.host);
    let basic = |password: &str| Credentials::Basic { user: "pusher".into(), password: password.into() };
    for credentials in [Credentials::Anonymous, basic("wrong-secret")] {
        let failure = registry::push(&archive, &target, &credentials, &events, &cancel).await.unwrap_err();
        assert_eq!((failure.class, failure.code), (FailureClass::Host, ErrorCode::Permission), "{failure:?}");
        assert!(!format!("{failure:?}").contains("wrong-secret"));
    }
    registry::push(&archive, &target, &basic("hunter2"), &events, &cancel).await.unwrap();
}

#[tokio::test]
async fn a_push_to_nowhere_is_the_registrys_fault() {
    let dir = tempfile::tempdir().unwrap();
    let archive = image(dir.path());
    let (events, cancel) = quiet();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = format!("127.0.0.1:{port}/team/edge-gateway:1");
    let failure =
        registry::push(&archive, &target, &Credentials::Anonymous, &events, &cancel).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Upstream);
    let failure = registry::push(dir.path(), &target, &Credentials::Anonymous, &events, &cancel).await;
    assert!(failure.is_err(), "a folder is no archive");
}

pub(crate) struct Disc {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) recipe: Recipe,
    pub(crate) live: &'static Live,
    pub(crate) grub: Option<&'static Grub>,
    kernel: Kernel,
    pub(crate) modules: Vec<(String, PathBuf)>,
}

impl Disc {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = stack(dir.path(), &dir.path().join("cache"));
        let (events, cancel) = quiet();
        let modules = squashfs::modules(&stack, Compression::Fast, &events, &cancel).unwrap();
        let kernel = Kernel {
            version: "6.1.0-1-amd64".to_owned(),
            vmlinuz: put(dir.path(), "a=b/vmlinuz", &"kernel ".repeat(1000)),
            initrd: put(dir.path(), "initrd", &"initramfs ".repeat(1000)),
        };
        let modules = modules.into_iter().map(|m| (m.name, m.path)).collect();
        let debian = tables::of(Base::DEBIAN);
        Self { dir, recipe: recipe(), live: debian.live_system().unwrap(), grub: None, kernel, modules }
    }

    /// Writes the ISO to `name`; the boot files are this host's own Debian packages.
    pub(crate) fn write(
        &self,
        name: &str,
        splash: Option<&[u8]>,
    ) -> bootwright::model::Result<bootwright::model::Artifact> {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (events, cancel) = quiet();
        let input = IsoInput {
            recipe: &self.recipe,
            live: self.live,
            grub: self.grub,
            build_id: Digest::of("build"),
            modules: self.modules.clone(),
            kernel: &self.kernel,
            splash,
            boot_files: Path::new("/"),
            out: &folder.join("out.iso"),
            scratch: &folder,
        };
        iso::write(&input, &events, &cancel)
    }

    pub(crate) fn extract(&self, iso: &Path, path: &str) -> String {
        let to = self.dir.path().join("extracted");
        let _ = fs::remove_file(&to);
        run(Process::new("xorriso")
            .args(["-no_rc", "-osirrox", "on", "-indev"])
            .arg(iso)
            .args(["-extract", path])
            .arg(&to));
        fs::read_to_string(&to).unwrap()
    }
}

#[test]
fn the_iso_is_hybrid_and_the_same_every_time() {
    let disc = Disc::new();
    let one = with_umask(0o022, || disc.write("one", None)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let two = with_umask(0o077, || disc.write("two/deeper and longer", None)).unwrap();
    assert_eq!(one.digest, two.digest);

    let report = run(Process::new("xorriso").args(["-no_rc", "-indev"]).arg(&one.path).args([
        "-report_el_torito",
        "plain",
        "-report_system_area",
        "plain",
        "-pvd_info",
    ]));
    for part in ["Volume Id    : EDGE_GATEWAY", "BIOS", "UEFI", "GPT", "grub2-mbr"] {
        assert!(report.contains(part), "{part} is not in\n{report}");
    }
    let list = disc.extract(&one.path, "/live/filesystem.module");
    assert_eq!(list, "00-bootstrap.squashfs\n01-configuration.squashfs\n02-overlay.squashfs\n");
    let build = Digest::of("build").hex();
    assert_eq!(disc.extract(&one.path, "/.disk/live-uuid-bootwright").trim(), build);
    let cfg = disc.extract(&one.path, "/boot/grub/grub.cfg");
    assert!(cfg.contains(&format!("bootwright.build={build}")) && cfg.contains("console=ttyS0,115200"));
    assert!(!one.path.with_extension("iso.part").exists());
}

#[test]
fn grub_itself_accepts_every_title_that_we_do() {
    let mut disc = Disc::new();
    for (i, title) in ["it's \"$(box)\"", "a\\'b", "; reboot #", "{}&|<>*?~`!", "ü – 日本"].iter().enumerate()
    {
        disc.recipe.boot_menu.title = (*title).to_owned();
        disc.recipe.boot_menu.kernel_flags = vec!["a=$(b);c|d&{e}#f".to_owned()];
        disc.recipe.boot_menu.splash = Some(Digest::of("png"));
        let cfg = iso::menu::grub_cfg(
            &disc.recipe.boot_menu,
            iso::menu::System {
                build: Digest::of("build"),
                architecture: Architecture::X86_64,
                live: disc.live,
                label: "X",
                modules: 3,
            },
        );
        let path = disc.dir.path().join(format!("grub-{i}.cfg"));
        fs::write(&path, cfg.unwrap()).unwrap();
        run(Process::new("grub-script-check").arg(&path));
    }
}

#[test]
fn an_iso_that_cannot_be_is_refused_with_words() {
    let mut disc = Disc::new();
    let png = disc.write("png", Some(b"GIF89a")).unwrap_err();
    assert_eq!(png.class, FailureClass::Spec);
    disc.recipe.limits.iso_size = Some(Size::from_bytes(1 << 20));
    let large = disc.write("large", None).unwrap_err();
    assert_eq!(large.class, FailureClass::Limit);
    assert!(large.details.unwrap().contains("kernel and initramfs"));
    assert!(!disc.dir.path().join("large/out.iso").exists());
    disc.recipe.boot_menu.title = "a\nb".to_owned();
    assert_eq!(disc.write("title", None).unwrap_err().class, FailureClass::Spec);
    disc.recipe = recipe();
    // A lock for another architecture has other boot loaders.
    disc.recipe.architecture = Architecture::Aarch64;
    assert!(disc.write("arm", None).unwrap_err().message.contains("shimaa64.efi.signed"));
    disc.recipe = recipe();
    disc.modules[0].0 = "../../etc/x.squashfs".to_owned();
    assert!(disc.write("name", None).is_err());
    disc.modules.clear();
    assert!(disc.write("none", None).is_err());
}

#[test]
fn a_wish_to_stop_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let stack = stack(dir.path(), &dir.path().join("cache"));
    let (events, cancel) = quiet();
    cancel.request();
    let out = dir.path().join("out");
    let failures = [
        squashfs::modules(&stack, Compression::Fast, &events, &cancel).map(drop).unwrap_err(),
        rootfs::write(&stack, &recipe(), &out, &events, &cancel).map(drop).unwrap_err(),
        oci::write(&oci_input(&stack, &recipe(), &out), &events, &cancel).map(drop).unwrap_err(),
    ];
    assert!(failures.iter().all(|f| f.class == FailureClass::Cancelled), "{failures:?}");
    assert!(!out.exists());
}
