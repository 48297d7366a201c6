//! Disk images from synthetic layers: what goes in comes out again through the real tools
//! (sfdisk, e2fsck, debugfs, btrfs, xfs_repair, grub-fstest, mtools), and the same layers give the same bytes.

use super::outputs::{CAPABILITY, EPOCH, put, quiet, recipe, run, stack, with_umask};
use bootwright::build::disk::{self, DiskInput};
use bootwright::build::entry::Kind;
use bootwright::build::stack::{Kernel, Stack, StackedLayer};
use bootwright::build::union;
use bootwright::effects::{Cancel, Process};
use bootwright::model::recipe::{LayerId, LayerRecipe, LayerStep};
use bootwright::model::spec::Architecture;
use bootwright::model::{Artifact, Digest, FailureClass, Recipe, Result};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const KERNEL: &str = "6.1.0-1-amd64";

struct Disk {
    dir: tempfile::TempDir,
    recipe: Recipe,
    stack: Stack,
    kernel: Kernel,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut stack = stack(dir.path(), &dir.path().join("cache"));
        let folder = dir.path().join("kernel");
        let vmlinuz = put(&folder, &format!("boot/vmlinuz-{KERNEL}"), &"kernel ".repeat(1000));
        put(&folder, "etc/fstab", "# what the package wrote\n");
        put(&folder, "usr/share/a b/say \"hi\"", "quotes");
        let many = put(&folder, "usr/lib/many/first", "many names");
        for number in 0..200 {
            fs::hard_link(&many, folder.join(format!("usr/lib/many/{number:0>100}"))).unwrap();
        }
        stack.layers.push(StackedLayer {
            name: "kernel".to_owned(),
            id: LayerId(Digest::of("kernel")),
            epoch: EPOCH,
            folder,
            cached: false,
            size: 7000,
        });
        let initrd = put(dir.path(), "initrd", &"initramfs ".repeat(1000));
        Self { recipe: recipe(), stack, kernel: Kernel { version: KERNEL.to_owned(), vmlinuz, initrd }, dir }
    }

    /// Writes the image to `name`; the boot files are this host's own Debian packages.
    fn write(&self, name: &str) -> Result<Artifact> {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (events, cancel) = quiet();
        let input = DiskInput {
            recipe: &self.recipe,
            build_id: Digest::of("build"),
            stack: &self.stack,
            kernel: &self.kernel,
            splash: None,
            boot_files: Path::new("/"),
            out: &folder.join("out.img.zst"),
            scratch: &folder,
        };
        disk::write(&input, &events, &cancel)
    }

    /// The disk, and one file for each of its partitions.
    fn unpack(&self, artifact: &Artifact) -> (PathBuf, Vec<PathBuf>) {
        let image = self.dir.path().join("disk.img");
        let packed = fs::File::open(&artifact.path).unwrap();
        zstd::stream::copy_decode(packed, fs::File::create(&image).unwrap()).unwrap();
        let table = run(Process::new("sfdisk").args(["--json"]).arg(&image));
        let table: serde_json::Value = serde_json::from_str(&table).unwrap();
        let table = &table["partitiontable"];
        assert_eq!(table["label"], "gpt");
        let disk = fs::File::open(&image).unwrap();
        let carve = |(number, partition): (usize, &serde_json::Value)| {
            let number_of = |name: &str| usize::try_from(partition[name].as_u64().unwrap()).unwrap() * 512;
            let mut bytes = vec![0; number_of("size")];
            disk.read_exact_at(&mut bytes, number_of("start") as u64).unwrap();
            let path = self.dir.path().join(format!("partition-{number}"));
            fs::write(&path, bytes).unwrap();
            path
        };
        let partitions = table["partitions"].as_array().unwrap().iter().enumerate().map(carve).collect();
        (image, partitions)
    }
}

fn ask(root: &Path, command: &str) -> String {
    run(Process::new("debugfs").args(["-R", command]).arg(root))
}

#[test]
fn everything_of_the_layers_is_on_the_disk_and_the_same_every_time() {
    let disk = Disk::new();
    let one = with_umask(0o022, || disk.write("one")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Read in between, and in another folder.
    fs::read(disk.dir.path().join("kernel/etc/fstab")).unwrap();
    let two = with_umask(0o077, || disk.write("two/deeper and longer")).unwrap();
    assert_eq!(one.digest, two.digest);
    assert!(!one.path.with_extension("zst.part").exists());

    let (image, partitions) = disk.unpack(&one);
    let verified = run(Process::new("sfdisk").args(["--verify"]).arg(&image));
    assert!(verified.contains("No errors detected."), "{verified}");
    let [bios, esp, root] = partitions.as_slice() else { panic!("{partitions:?}") };
    assert_eq!(fs::read(bios).unwrap()[500..508], 2049_u64.to_le_bytes());
    for file in ["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/grubx64.efi"] {
        run(Process::new("mdir").args(["-b", "-i"]).arg(esp).arg(format!("::/{file}")));
    }
    run(Process::new("e2fsck").args(["-f", "-n"]).arg(root));

    let out = disk.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    ask(root, &format!("rdump / {}", out.display()));
    for found in union::walk(&disk.stack) {
        let found = found.unwrap();
        let there = out.join(&found.entry.path);
        match &found.entry.kind {
            Kind::File { .. } if found.entry.path == Path::new("etc/fstab") => {}
            Kind::File { .. } => {
                assert_eq!(fs::read(&there).unwrap(), fs::read(&found.entry.source).unwrap(), "{there:?}");
            }
            Kind::Symlink { target } => assert_eq!(fs::read_link(&there).unwrap().as_os_str(), target),
            Kind::Folder { .. } => assert!(there.is_dir(), "{there:?}"),
            _ => {}
        }
    }
    let fstab = fs::read_to_string(out.join("etc/fstab")).unwrap();
    let uuid = ask(root, "stats -h");
    let uuid = uuid.lines().find_map(|l| l.strip_prefix("Filesystem UUID:")).unwrap().trim();
    assert!(fstab.contains(&format!("UUID={uuid} / ext4")) && !fstab.contains("package"), "{fstab}");
    let grub = fs::read_to_string(out.join("boot/grub/grub.cfg")).unwrap();
    assert!(grub.contains(&format!("root=UUID={uuid} ro")) && !grub.contains("boot=live"));
    assert!(out.join(format!("boot/initrd.img-{KERNEL}")).is_file() && out.join("boot/efi").is_dir());

    let tool = ask(root, "stat /usr/bin/tool");
    assert!(tool.contains("Mode:  04755") && tool.contains("Links: 2"), "{tool}");
    assert!(ask(root, "stat /usr/lib/many/first").contains("Links: 201"));
    let value = disk.dir.path().join("capability");
    ask(root, &format!("ea_get -f {} /usr/bin/ping security.capability", value.display()));
    assert_eq!(fs::read(&value).unwrap(), CAPABILITY);
}

/// The configuration of a recipe whose spec says this of its disk.
pub(crate) fn laid_out(recipe: &mut Recipe, filesystem: serde_json::Value) {
    let spec = serde_json::json!({
        "base": "debian", "suite": "bookworm", "architecture": "x86_64", "outputs": ["disk"],
        "filesystem": filesystem,
    });
    let spec = serde_json::from_value(spec).unwrap();
    let configuration = bootwright::configure::configuration(&recipe.image, &spec).unwrap();
    recipe.layers = vec![LayerRecipe {
        name: "configuration".to_owned(),
        epoch: EPOCH,
        step: LayerStep::Configuration(Box::new(configuration)),
    }];
}

/// Everything of the layers lies below `out` too, but for what lies below `without`.
fn all_there(disk: &Disk, out: &Path, without: &str) {
    for found in union::walk(&disk.stack) {
        let found = found.unwrap();
        let path = &found.entry.path;
        if path == Path::new("etc/fstab") || (!without.is_empty() && path.starts_with(without)) {
            continue;
        }
        let there = out.join(path);
        let meta = there.symlink_metadata();
        match &found.entry.kind {
            Kind::File { .. } => {
                assert_eq!(fs::read(&there).unwrap(), fs::read(&found.entry.source).unwrap(), "{there:?}");
                let meta = meta.unwrap();
                // debugfs leaves out who a program runs as.
                let mode = found.entry.mode & 0o777;
                assert_eq!((meta.mode() & 0o777, meta.uid()), (mode, found.entry.uid), "{there:?}");
                assert_eq!(meta.mtime(), i64::try_from(found.entry.mtime).unwrap(), "{there:?}");
            }
            Kind::Symlink { target } => assert_eq!(fs::read_link(&there).unwrap().as_os_str(), target),
            Kind::Folder { .. } => assert!(there.is_dir(), "{there:?}"),
            _ => {}
        }
    }
}

/// What the kernel's own driver needs of a large tree: several levels, long files, holes.
fn much(folder: &Path) {
    for number in 0..3000 {
        put(folder, &format!("usr/share/many/{number:0>40}"), &format!("{number}").repeat(number % 700));
    }
    put(folder, "usr/lib/repeats", &"the same again\n".repeat(100_000));
    let mut random = vec![0; 3_000_001];
    let mut state = 1_u64;
    for byte in &mut random {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    fs::write(folder.join("usr/lib/random"), &random).unwrap();
    let holes = fs::File::create(folder.join("usr/lib/holes")).unwrap();
    holes.set_len(5 << 20).unwrap();
    holes.write_all_at(b"in the middle", 2_600_000).unwrap();
}

#[test]
fn btrfs_with_subvolumes_has_everything_and_is_the_same_every_time() {
    for compression in [false, true] {
        let mut disk = Disk::new();
        much(&disk.dir.path().join("kernel"));
        let snapshots = serde_json::json!({"enabled": true});
        laid_out(
            &mut disk.recipe,
            serde_json::json!({"root": "btrfs", "compression": compression, "snapshots": snapshots}),
        );
        let one = with_umask(0o022, || disk.write("one")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let two = with_umask(0o077, || disk.write("two/deeper and longer")).unwrap();
        assert_eq!(one.digest, two.digest);

        let (_, partitions) = disk.unpack(&one);
        let root = &partitions[2];
        let check = Process::new("btrfs").args(["check", "--check-data-csum"]).arg(root);
        let output = check.check(&Cancel::default()).unwrap_or_else(|f| panic!("{f}: {:?}", f.details));
        let said = format!("{}{}", output.text(), output.errors());
        assert!(said.contains("no error found") && !said.to_lowercase().contains("warning"), "{said}");
        let tree = run(Process::new("btrfs").args(["inspect-internal", "dump-super"]).arg(root));
        assert!(tree.contains("[match]"), "{tree}");
        assert_eq!(tree.contains("COMPRESS_ZSTD"), compression, "{tree}");

        let out = disk.dir.path().join("out");
        fs::create_dir(&out).unwrap();
        run(Process::new("btrfs").args(["restore", "-s", "-m", "-x", "-S"]).arg(root).arg(&out));
        all_there(&disk, &out.join("@"), "home");
        assert_eq!(fs::read(out.join("@home/live/file")).unwrap(), b"mine");
        assert!(out.join("@snapshots").is_dir() && out.join("@/.snapshots").is_dir());
        assert!(fs::read_dir(out.join("@/home")).unwrap().next().is_none());
        assert_eq!(fs::metadata(out.join("@/usr/bin/tool")).unwrap().mode() & 0o7777, 0o4755);
        let ping = out.join("@/usr/bin/ping");
        let mut value = [0; 64];
        let size = rustix::fs::lgetxattr(&ping, "security.capability", &mut value[..]).unwrap();
        assert_eq!(value[..size], CAPABILITY);
        let packed = fs::metadata(&one.path).unwrap().len();
        println!("compression {compression}: {packed} bytes");
    }
}

#[test]
fn xfs_has_everything_and_is_the_same_every_time() {
    let mut disk = Disk::new();
    let kernel = disk.dir.path().join("kernel");
    much(&kernel);
    // In the inode, in one block, in an index of one block, and in one of many.
    for (folder, count) in [("few", 3), ("more", 60), ("many", 400), ("lots", 2500)] {
        for number in 0..count {
            put(&kernel, &format!("srv/{folder}/{number}"), "x");
        }
    }
    laid_out(&mut disk.recipe, serde_json::json!({"root": "xfs"}));
    let one = with_umask(0o022, || disk.write("one")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let two = with_umask(0o077, || disk.write("two/deeper and longer")).unwrap();
    assert_eq!(one.digest, two.digest);

    let (_, partitions) = disk.unpack(&one);
    let root = &partitions[2];
    run(Process::new("xfs_repair").args(["-n", "-f"]).arg(root));
    // GRUB's own driver reads what the kernel will.
    let grub = |command: &str, path: &str| {
        Process::new("grub-fstest").arg(root).args([command, &format!("(loop0)/{path}")])
    };
    for found in union::walk(&disk.stack) {
        let entry = found.unwrap().entry;
        let path = entry.path.to_str().unwrap();
        if matches!(entry.kind, Kind::File { .. }) && path != "etc/fstab" && !path.contains("/many/") {
            run(grub("cmp", path).arg(&entry.source));
        }
    }
    let names = |path: &str| run(grub("ls", path)).split_whitespace().count();
    assert_eq!(["srv/few", "srv/more", "srv/many", "srv/lots"].map(names), [3, 60, 400, 2500]);
    let look = |path: &str| {
        run(Process::new("xfs_db").args(["-r", "-c", &format!("path /{path}"), "-c", "print"]).arg(root))
    };
    let tool = look("usr/bin/tool");
    assert!(tool.contains("core.mode = 0104755") && tool.contains("core.nlinkv2 = 2"), "{tool}");
    let ping = look("usr/bin/ping");
    assert!(ping.contains("a.sfattr.list[0].name = \"capability\""), "{ping}");
    assert!(look("usr/lib/many/first").contains("core.nlinkv2 = 201"));
    assert!(look("home/live/file").contains("core.uid = 3000000"));
    let wrong = grub("cmp", "usr/lib/random").arg(kernel.join("usr/lib/repeats"));
    assert!(wrong.check(&Cancel::default()).is_err());
}

#[test]
fn every_partition_has_its_own_part_and_swap_is_swap() {
    let mut disk = Disk::new();
    let partitions = [("/boot/efi", "64MiB"), ("/boot", "128MiB"), ("/", "512MiB"), ("/var/lib", "rest")];
    let partitions = partitions.map(|(mount, size)| serde_json::json!({"mount": mount, "size": size}));
    let swap = serde_json::json!({"kind": "partition", "size": "65MiB"});
    laid_out(&mut disk.recipe, serde_json::json!({"partitions": partitions, "swap": swap}));
    let one = disk.write("one").unwrap();
    assert_eq!(one.digest, disk.write("two").unwrap().digest);
    let (image, partitions) = disk.unpack(&one);
    let verified = run(Process::new("sfdisk").args(["--verify"]).arg(&image));
    assert!(verified.contains("No errors detected."), "{verified}");
    let [_, _, swap, boot, root, var] = partitions.as_slice() else { panic!("{partitions:?}") };
    assert_eq!(fs::metadata(swap).unwrap().len(), 65 << 20);
    assert_eq!(run(Process::new("blkid").args(["-p", "-s", "TYPE", "-o", "value"]).arg(swap)).trim(), "swap");
    for filesystem in [boot, root, var] {
        run(Process::new("e2fsck").args(["-f", "-n"]).arg(filesystem));
    }
    let out = disk.dir.path().join("out");
    for (filesystem, mount) in [(root, ""), (boot, "boot"), (var, "var/lib")] {
        fs::create_dir_all(out.join(mount)).unwrap();
        ask(filesystem, &format!("rdump / {}", out.join(mount).display()));
    }
    all_there(&disk, &out, "");
    assert!(ask(boot, "ls /").contains(&format!("vmlinuz-{KERNEL}")));
    assert!(!ask(root, "ls /boot").contains("vmlinuz") && !ask(root, "ls /var/lib").contains("app"));
    let fstab = fs::read_to_string(out.join("etc/fstab")).unwrap();
    let uuid = run(Process::new("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(swap));
    assert!(fstab.contains(&format!("UUID={} none swap", uuid.trim())), "{fstab}");
    assert_eq!(fs::read_dir(out.join("etc/repart.d")).unwrap().count(), 4);
}

#[test]
fn a_partition_that_is_too_small_is_refused_with_both_sizes() {
    for root in ["ext4", "btrfs", "xfs"] {
        let mut disk = Disk::new();
        let partitions = serde_json::json!([{"mount": "/", "size": "32MiB"}]);
        laid_out(&mut disk.recipe, serde_json::json!({"root": root, "partitions": partitions}));
        let failure = disk.write("one").unwrap_err();
        assert_eq!(failure.class, FailureClass::Limit);
        assert!(failure.message.contains("the partition has 32.0 MiB"), "{failure}");
    }
}

#[test]
fn a_disk_that_cannot_be_is_refused_with_words() {
    let mut disk = Disk::new();
    disk.recipe.boot_menu.kernel_flags = vec!["root=/dev/sda".to_owned()];
    assert_eq!(disk.write("flag").unwrap_err().class, FailureClass::Spec);
    disk.recipe = recipe();
    disk.recipe.architecture = Architecture::Aarch64;
    assert_eq!(disk.write("arm").unwrap_err().class, FailureClass::Spec);
    disk.recipe = recipe();
    put(&disk.stack.layers[0].folder, "usr/share/line\nend", "x");
    let line = disk.write("line").unwrap_err();
    assert!(line.class == FailureClass::Spec && line.message.contains("line end"), "{line}");
    assert!(!disk.dir.path().join("line/out.img.zst").exists());
}
