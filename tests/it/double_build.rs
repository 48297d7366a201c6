//! One recipe, built twice on a host that looks different each time: the same bytes.
//!
//! The second build has another folder, day, umask, time zone, language, home, number of
//! processors, and gets its packages in another order. Nothing boots: the runs are ended
//! where verification would begin, when all artifacts have their names.

use crate::crash::command;
use crate::crash::world::{Said, World, said};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The standard small system, in every form that an image has.
const DEBIAN: &str = r#"apiVersion: bootwright/v1
kind: OsImage
metadata: {name: small}
spec:
  base: debian
  suite: bookworm
  channel: edge
  outputs: [iso, oci, rootfs]
  packages: {utils: [sudo]}
  defaults:
    hostname: small
    users: [{name: admin, sudo: true}]
  securityFeatures:
    firewall: {policy: deny, rules: [{action: allow, port: 22}]}
    ssh: {}
  verify: {boot: [bios]}
"#;

#[test]
fn of_the_tiny_distribution() {
    let one = World::new("[iso, oci, rootfs]");
    lock(&one);
    let two = one.moved("another/and a much longer/path äöü");
    built(&plain(&one));
    built(&strange(&two));
    same(&one, &two, 3);
}

/// Real packages: what their scripts leave behind is where reproducibility usually ends.
#[test]
fn of_debian() {
    let one = World::new("[iso]");
    fs::remove_file(one.dir.join("specs/tiny.yaml")).unwrap();
    let settings = fs::read_to_string(one.dir.join("bootwright.yaml")).unwrap();
    let mirrors = one.hosts_mirrors();
    one.write("bootwright.yaml", &format!("{}{mirrors}", settings.split("mirrors:").next().unwrap()));
    one.write("specs/small.yaml", DEBIAN);
    one.commit("A small Debian");
    lock(&one);
    let two = one.moved("elsewhere");
    built(&plain(&one));
    share_packages(&one, &two);
    built(&strange(&two));
    same(&one, &two, 3);
}

/// Both builds are of one lock, which is part of the catalog.
fn lock(world: &World) {
    let locked = world.run(&["lock"]);
    assert!(locked.output.status.success(), "{}", locked.words());
    world.commit("Its lock");
}

fn plain(world: &World) -> Said {
    world.stopped("run.verifying", "kill", &["reconcile"])
}

/// Everything about the host is different that does not show in the catalog.
fn strange(world: &World) -> Said {
    let script = "umask 077; exec taskset -c 0 faketime -f +40d \"$@\"";
    let mut command: Command = command("sh");
    command
        .current_dir(&world.dir)
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_bootwright"), "--output", "json", "reconcile"])
        .envs([("TZ", "Asia/Kathmandu"), ("LANG", "tr_TR.UTF-8"), ("LC_ALL", "de_DE.UTF-8")])
        .envs([
            ("HOME", "/nonexistent"),
            ("USER", "nobody"),
            ("SOURCE_DATE_EPOCH", "1"),
            ("TMPDIR", "/var/tmp"),
        ])
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("BOOTWRIGHT_STOP_AT", "run.verifying");
    said(command.output().unwrap())
}

fn built(said: &Said) {
    let written = said.tasks().values().filter(|outcome| outcome.starts_with("written")).count();
    assert!(written >= 1, "{}", said.words());
}

/// Links the package files, the last first: another order on disk.
fn share_packages(from: &World, to: &World) {
    let (from, to) = (from.cache().join("packages"), to.cache().join("packages"));
    fs::create_dir_all(&to).unwrap();
    let mut names: Vec<_> = fs::read_dir(&from).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort_by(|a, b| b.cmp(a));
    for name in names {
        fs::hard_link(from.join(&name), to.join(&name)).unwrap();
    }
}

/// The image files of both are the same; what differs first is said, from the bottom up.
fn same(one: &World, two: &World, count: usize) {
    let (a, b) = (artifacts(one), artifacts(two));
    assert_eq!(a.len(), count, "{a:?}");
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let different: Vec<&String> = a.keys().filter(|name| a[*name].1 != b[*name].1).collect();
    if !different.is_empty() {
        panic!("{different:?} differ: {}", first_difference(one, two, &a, &b));
    }
    for (name, (path, digest)) in &a {
        println!("double build: {name} {digest} twice, {} bytes", fs::metadata(path).unwrap().len());
    }
}

type Artifacts = BTreeMap<String, (PathBuf, String)>;

fn artifacts(world: &World) -> Artifacts {
    let mut found = Artifacts::new();
    for recipe in fs::read_dir(world.cache().join("artifacts")).unwrap().flatten() {
        for file in fs::read_dir(recipe.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            found.insert(name, (file.path(), digest(&file.path())));
        }
    }
    found
}

fn digest(file: &Path) -> String {
    bootwright::effects::files::digest_file(file).unwrap().0.hex()
}

/// The first layer, module, blob or initramfs that differs, and within a layer the file.
fn first_difference(one: &World, two: &World, a: &Artifacts, b: &Artifacts) -> String {
    for layer in names(&one.cache().join("layers")) {
        let root = |world: &World| world.cache().join("layers").join(&layer).join("root");
        if let Some(difference) = tree_difference(&root(one), &root(two)) {
            let record = fs::read_to_string(one.cache().join("layers").join(&layer).join("layer.json"));
            return format!("layer {layer} {}: {difference}", record.unwrap_or_default());
        }
    }
    for folder in ["initramfs", "initramfs/modules", "modules", "blobs", "boot-files"] {
        let at = |world: &World| world.cache().join(folder);
        if let Some(difference) = tree_difference(&at(one), &at(two)) {
            return format!("{folder}: {difference}");
        }
    }
    for (name, (path, _)) in a {
        let compared = command("cmp").arg(path).arg(&b[name].0).output().unwrap();
        if !compared.status.success() {
            let area = if name.ends_with(".iso") { iso_difference(path, &b[name].0) } else { String::new() };
            return format!("{}{area}", String::from_utf8_lossy(&compared.stdout).trim());
        }
    }
    "nothing that can be named".to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// What one name is, in all that an image carries of it.
fn entry(path: &Path) -> String {
    let meta = fs::symlink_metadata(path).unwrap();
    let kind = meta.file_type();
    let content = if kind.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else if kind.is_file() {
        digest(path)
    } else if kind.is_char_device() || kind.is_block_device() {
        meta.rdev().to_string()
    } else {
        String::new()
    };
    // The size of a folder is its file system's business.
    let size = if kind.is_dir() { 0 } else { meta.len() };
    format!("{:o} {}:{} {} {size} {content}", meta.mode(), meta.uid(), meta.gid(), meta.mtime())
}

fn tree_difference(a: &Path, b: &Path) -> Option<String> {
    let (one, two) = (tree(a), tree(b));
    let is_image = a.ends_with("root");
    for path in one.keys().chain(two.keys()) {
        let locks = path.extension().is_some_and(|e| e == "lock");
        if locks || path.as_os_str().as_bytes().starts_with(b"work") {
            continue;
        }
        let (here, there) = (one.get(path), two.get(path));
        // Outside of layers, dates are those of the cache.
        let content = |entry: Option<&String>| entry.map(|e| e.rsplit(' ').next().unwrap().to_owned());
        let differ = if is_image { here != there } else { content(here) != content(there) };
        if differ {
            return Some(format!("{}: {here:?} and {there:?}", path.display()));
        }
    }
    None
}

fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for child in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = child.path();
            if child.file_type().unwrap().is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(root).unwrap().to_owned(), entry(&path));
        }
    }
    found
}

/// The first file on two ISOs that differs; none if it is in what lies around the files.
fn iso_difference(a: &Path, b: &Path) -> String {
    let list = |iso: &Path| {
        let listed = command("xorriso")
            .args(["-indev"])
            .arg(iso)
            .args(["-find", "/", "-type", "f", "-exec", "report_lba"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    let (one, two) = (list(a), list(b));
    let different = one.lines().zip(two.lines()).find(|(a, b)| a != b);
    match different {
        Some((a, b)) => format!("; on the ISO: {a} and {b}"),
        None => "; on the ISO all files lie alike: look at boot records and dates".to_owned(),
    }
}

#[test]
fn a_difference_is_named() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&a, &b] {
        fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        fs::write(dir.path().join("root/etc/same"), "same").unwrap();
        let times = command("touch").args(["-d", "@1"]).arg(dir.path().join("root/etc/same")).status();
        assert!(times.unwrap().success());
        assert!(
            command("touch").args(["-d", "@1"]).arg(dir.path().join("root/etc")).status().unwrap().success()
        );
    }
    let roots = (a.path().join("root"), b.path().join("root"));
    assert_eq!(tree_difference(&roots.0, &roots.1), None);
    fs::write(b.path().join("root/etc/machine"), "id").unwrap();
    assert!(command("touch").args(["-d", "@1"]).arg(b.path().join("root/etc")).status().unwrap().success());
    assert!(tree_difference(&roots.0, &roots.1).unwrap().starts_with("etc/machine: None"));
}
