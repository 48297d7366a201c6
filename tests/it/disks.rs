//! Disk images from synthetic layers: what goes in comes out again through the real tools
//! (sfdisk, e2fsck, debugfs, mtools), and the same layers give the same bytes.

use super::outputs::{CAPABILITY, EPOCH, put, quiet, recipe, run, stack, with_umask};
use bootwright::build::disk::{self, DiskInput};
use bootwright::build::entry::Kind;
use bootwright::build::stack::{Kernel, Stack, StackedLayer};
use bootwright::build::union;
use bootwright::effects::Process;
use bootwright::model::recipe::LayerId;
use bootwright::model::spec::Architecture;
use bootwright::model::{Artifact, Digest, FailureClass, Recipe, Result};
use std::fs;
use std::os::unix::fs::FileExt;
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
