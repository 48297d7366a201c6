//! Generated Containerfiles, built by a container engine from a base image of this host: no
//! registry is asked.

use super::pacman::{About, Repository, SPEC, repository};
use super::{World, base_tree, busybox_tree, find, programs, put, words};
use crate::crash::tiny::serve;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

const WEB: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: web}\nspec:\n  base: arch\n  \
    suite: rolling\n  channel: edge\n  outputs: [oci]\n  packages: {utils: [hello]}\n";

/// A repository whose `base` brings pacman itself, which reads the repository over HTTP.
fn world() -> (tempfile::TempDir, World) {
    world_with(|_| {})
}

fn world_with(more: impl FnOnce(&Repository)) -> (tempfile::TempDir, World) {
    let (dir, repository) = repository();
    more(&repository);
    let url = serve(repository.dir.join("mirror"));
    repository.package("pacman", About { depends: &["filesystem"], ..About::default() }, |tree| {
        programs(tree, &["/usr/bin/pacman"]);
        let text = format!(
            "[options]\nArchitecture = x86_64\nSigLevel = Never\n[core]\nServer = {url}/core/os/x86_64\n"
        );
        put(tree, "etc/pacman.conf", text, 0o644);
        for name in ["usr/bin/passwd", "usr/sbin/groupadd"] {
            put(tree, name, "#!/bin/sh\nexit 0\n", 0o755);
        }
        for folder in ["var/cache/pacman/pkg", "var/lib/pacman", "var/log"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
    });
    repository.package("base", About { depends: &["busybox>=1", "pacman"], ..About::default() }, |_| {});
    repository.index();
    let world =
        World::new(&SPEC.replace("packages: {utils: [hello]}", "services: {}"), &repository.mirrors());
    (dir, world)
}

fn build(world: &World, base: &str, engine: &str) -> std::process::Output {
    world.run(&["containerfile", "web", "--from", base, "--build", "web.tar.zst", "--engine", engine])
}

/// Folders that a build works in.
fn work(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.dir.join(".bootwright/work")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("container-")).collect()
}

#[test]
fn a_containerfile_of_arch_becomes_a_root_filesystem() {
    let (_dir, world) = world();
    let release = world.released();
    let names = world.names(&release);
    assert!(!names.iter().any(|n| n == "usr/share/hello/hi"), "the base has it already");
    let base = format!("oci-archive:{}", find(&release, ".oci.tar").display());
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    for engine in ["buildah", "podman"] {
        let done = build(&world, &base, engine);
        assert!(done.status.success(), "{engine}: {}", words(&done));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["built"]["engine"], engine);
        assert_eq!(report["built"]["reproducible"], false);
        assert!(report["built"]["base"].as_str().unwrap().starts_with("sha256:"), "{report}");
        let archive = world.dir.join("web.tar.zst");
        let record: Value =
            serde_json::from_slice(&fs::read(world.dir.join("web.tar.zst.json")).unwrap()).unwrap();
        assert_eq!(record, report["built"]);
        let mut tar = tar::Archive::new(zstd::Decoder::new(fs::File::open(&archive).unwrap()).unwrap());
        let names: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(names.iter().any(|n| n.ends_with("usr/share/hello/hi")), "{engine}: {names:?}");
        assert!(names.iter().any(|n| n.ends_with("usr/bin/busybox")), "{engine}: the base is in it");
        assert_eq!(work(&world), Vec::<String>::new(), "{engine} leaves its store");
        fs::remove_file(archive).unwrap();
    }
    // A package that the base's repositories do not have.
    put(&world.dir, "specs/web.yaml", WEB.replace("utils: [hello]", "extra: [nosuchthing]"), 0o644);
    world.commit();
    let done = build(&world, &base, "buildah");
    let said = words(&done);
    assert!(!done.status.success() && said.contains("could not build the Containerfile"), "{said}");
    assert!(said.contains("\"class\":\"upstream\""), "{said}");
    assert!(!world.dir.join("web.tar.zst").exists() && work(&world).is_empty());
}

#[test]
fn what_is_no_image_is_refused() {
    let (_dir, world) = world();
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    put(&world.dir, "bad/index.json", "{}", 0o644);
    for base in ["oci:nowhere", "oci:bad", "oci-archive:specs/web.yaml"] {
        let done = build(&world, base, "buildah");
        let said = words(&done);
        assert!(
            !done.status.success() && said.contains("is no image that buildah can read"),
            "{base}: {said}"
        );
    }
    let done = world.run(&["containerfile", "web", "--from", "oci:nowhere"]);
    assert!(words(&done).contains("only a build can start from an image of this host"), "{}", words(&done));
    let done = world.run(&["--offline", "containerfile", "web", "--build", "x.tar.zst"]);
    assert!(!done.status.success() && words(&done).contains("built with the network"), "{}", words(&done));
}

/// Everything that an area of the settings can become: files of root and of users, accounts,
/// programs, services on, off and later, and what the catalog lays over it.
const DECLARED: &str = r#"apiVersion: bootwright/v1
kind: OsImage
metadata: {name: tiny}
spec:
  base: arch
  suite: rolling
  channel: edge
  outputs: [oci, rootfs]
  packages: {utils: [hello]}
  defaults:
    hostname: somewhere
    users:
      - name: ada
        groups: [audio]
        passwordHash: "$6$salt$and/a.hash"
        sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlGqbKEIiDnWlCcaYJcRYjDrCHYIVI6cU8kPr2sFfVc a@b"]
      - {name: bo, shell: /bin/sh}
  services: {enable: [hello.service], disable: [noisy.service]}
  securityFeatures: {kernelHardening: [restrict-dmesg, disable-core-dumps]}
  postInstall:
    systemTuning: {swappiness: 10}
    scripts: [specs/scripts/last.sh]
    services: [mine.service]
"#;

/// The host's own programs for accounts and services, so that what they do is real.
fn real_programs(repository: &Repository) {
    let unit = |name: &str| {
        format!(
            "[Unit]\nDescription={name}\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
        )
    };
    repository.package("filesystem", About::default(), |tree| {
        base_tree(tree, "arch");
        put(tree, "etc/group", "root:x:0:\naudio:x:63:\n", 0o644);
        put(tree, "etc/shadow", "root:*:19000:0:99999:7:::\n", 0o600);
        put(tree, "etc/login.defs", "UID_MIN 1000\nGID_MIN 1000\nHOME_MODE 0700\n", 0o644);
    });
    let about = About { depends: &["filesystem"], ..About::default() };
    repository.package("busybox", about, |tree| {
        busybox_tree(tree);
        let real = ["/usr/sbin/useradd", "/usr/sbin/usermod", "/usr/sbin/chpasswd", "/usr/bin/systemctl"];
        programs(tree, &real);
    });
    repository.package("hello", About { depends: &["busybox"], ..About::default() }, |tree| {
        put(tree, "usr/share/hello/hi", "hi\n", 0o644);
        put(tree, "usr/lib/systemd/system/hello.service", unit("hello"), 0o644);
        put(tree, "usr/lib/systemd/system/noisy.service", unit("noisy"), 0o644);
        let wants = tree.join("etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("/usr/lib/systemd/system/noisy.service", wants.join("noisy.service"))
            .unwrap();
    });
}

/// What belongs to the build, to a package manager or to one of the ways alone.
fn of_the_way(path: &str) -> bool {
    ["usr/lib/bootwright/", "var/lib/pacman/", "var/cache/", "var/log/", "usr/lib/modules/", "run/", "tmp/", "dev/", "proc/", "sys/"]
        .iter()
        .any(|folder| path.starts_with(folder) || path.trim_end_matches('/') == folder.trim_end_matches('/'))
        // Copies that the account programs leave, and what the engine puts there for a step.
        || path.ends_with('-')
        || matches!(path, "etc/resolv.conf" | "var/lib/script-ran" | "")
}

/// What a root holds: by path its kind, mode, owner and content.
fn tree(archive: &Path) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(fs::File::open(archive).unwrap()).unwrap());
    let mut tree = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path =
            entry.path().unwrap().to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
        if of_the_way(&path) {
            continue;
        }
        let header = entry.header().clone();
        let link = entry.link_name().unwrap().map(|to| to.to_string_lossy().into_owned());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let mut text = String::from_utf8(bytes).unwrap_or_else(|e| format!("{} bytes", e.as_bytes().len()));
        if path == "etc/shadow" {
            // The third field is the day of the change.
            let fields = |line: &str| {
                line.split(':')
                    .enumerate()
                    .filter(|(n, _)| *n != 2)
                    .map(|(_, f)| format!("{f}:"))
                    .collect::<String>()
            };
            text = text.lines().map(|line| fields(line) + "\n").collect();
        }
        let mode = if link.is_some() { 0 } else { header.mode().unwrap() & 0o7777 };
        let kind = header.entry_type();
        // A second name of a file is the file.
        let kind = if kind.is_hard_link() { tar::EntryType::Regular } else { kind };
        let said =
            format!("{kind:?} {mode:o} {}:{} {link:?} {text}", header.uid().unwrap(), header.gid().unwrap());
        tree.insert(path, said);
    }
    tree
}

#[test]
fn a_container_and_an_image_of_one_spec_hold_the_same() {
    let (_dir, world) = world_with(real_programs);
    let base = format!("oci-archive:{}", find(&world.released(), ".oci.tar").display());
    put(&world.dir, "specs/tiny.yaml", DECLARED, 0o644);
    put(
        &world.dir,
        "specs/scripts/last.sh",
        "#!/bin/sh\nset -eu\nid -un ada > /etc/last\nchmod 0640 /etc/last\n",
        0o755,
    );
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    put(&world.dir, "specs/overlays/tiny/etc/systemd/system/mine.service", unit, 0o644);
    // `/bin` is a link, and stays one.
    put(&world.dir, "specs/overlays/tiny/bin/a tool", "#!/bin/sh\n", 0o755);
    let image = tree(&find(&world.released(), ".rootfs.tar.zst"));
    let done = world.run(&["containerfile", "tiny", "--from", &base, "--build", "tiny.tar.zst"]);
    assert!(done.status.success(), "{}", words(&done));
    let container = tree(&world.dir.join("tiny.tar.zst"));

    let says = |path: &str, words: &str| {
        let said = image.get(path).unwrap_or_else(|| panic!("{path} is not in the image"));
        assert!(said.contains(words), "{path}: {said}");
    };
    says("etc/passwd", "ada:x:1000:1000::/home/ada:/bin/bash\nbo:x:1001:1001::/home/bo:/bin/sh\n");
    says("etc/group", "audio:x:63:ada\n");
    says("etc/shadow", "ada:$6$salt$and/a.hash:");
    says("etc/shadow", "root:!");
    says("home/ada/.ssh", "Directory 700 1000:1000");
    says("home/ada/.ssh/authorized_keys", "Regular 600 1000:1000 None ssh-ed25519 ");
    says("etc/systemd/system/multi-user.target.wants/hello.service", "Symlink");
    says("etc/systemd/system/multi-user.target.wants/mine.service", "Symlink");
    says("etc/hostname", "somewhere\n");
    says("usr/bin/a tool", "Regular 755 0:0");
    says("etc/last", "Regular 640 0:0 None ada\n");
    assert!(!image.contains_key("etc/systemd/system/multi-user.target.wants/noisy.service"));

    let paths: std::collections::BTreeSet<&String> = image.keys().chain(container.keys()).collect();
    let differ = paths.into_iter().filter(|path| image.get(*path) != container.get(*path));
    let differ: Vec<String> = differ
        .map(|path| {
            format!("{path}\n  image:     {:?}\n  container: {:?}", image.get(path), container.get(path))
        })
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
