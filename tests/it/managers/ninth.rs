//! A ninth distribution: one folder, one line of one table, and the whole program builds it.

use super::{World, command, must, put};
use crate::crash::tiny;
use std::fs;
use std::path::{Path, PathBuf};

const ABOUT: &str = "title: Quince\nsummary: \"Quince: a child of Debian that nobody has.\"\nfamily: debian\n\
    like: debian\ninits: [systemd]\narchitectures: [x86_64]\npurl: deb/quince\ncodenames: [peel]\n";
const SYSTEM: &str = "manager: apt\nbuilds: [x86_64]\nsuites:\n  peel: []\n\
    bootstrap: [apt, dbus, iproute2, kmod, libpam-systemd, passwd, systemd-resolved, systemd-sysv, udev]\n\
    kernels: {x86_64: {linux-lts: linux-image-quince}}\nshells: {/bin/bash: null, /bin/sh: null}\n\
    init: {systemd: []}\ncontainer: {images: {}}\n";
const SPEC: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: tiny}\nspec:\n  base: quince\n  \
    suite: peel\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {utils: [htop]}\n";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// The line of a text that begins so, with more at its end.
fn longer(file: &Path, begins: &str, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("{begins}"));
    let changed = line.replace(from, to);
    assert_ne!(changed, line);
    fs::write(file, text.replacen(line, &changed, 1)).unwrap();
}

/// The program, compiled once more from its own sources with one more distribution. Its name
/// is another one, so that it lies beside the one that all other tests use.
fn with_quince(dir: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "templates", "benches"] {
        copy(&root.join(folder), &dir.join(folder));
    }
    for file in ["build.rs", "Cargo.toml", "Cargo.lock"] {
        fs::copy(root.join(file), dir.join(file)).unwrap();
    }
    let quince = "src/tables/distributions/quince";
    put(dir, &format!("{quince}/about.yaml"), ABOUT, 0o644);
    put(dir, &format!("{quince}/system.yaml"), SYSTEM, 0o644);
    put(dir, &format!("{quince}/seen.yaml"), "[]\n", 0o644);
    longer(&dir.join("src/tables/packages/utils.yaml"), "htop: {", "}", ", quince: hello}");

    let name = "name = \"bootwright\"";
    for file in ["Cargo.toml", "Cargo.lock"] {
        longer(&dir.join(file), name, "bootwright", "bootwright-ninth");
    }
    let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("default-run = \"bootwright\"", "[lib]\nname = \"bootwright\"");
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    // target/debug/bootwright
    let target = Path::new(env!("CARGO_BIN_EXE_bootwright")).ancestors().nth(2).unwrap();
    must(command(env!("CARGO")).current_dir(dir).env("CARGO_TARGET_DIR", target).args([
        "build",
        "--offline",
        "--locked",
        "--bin",
        "bootwright-ninth",
    ]));
    target.join("debug/bootwright-ninth")
}

#[test]
fn a_ninth_distribution_is_one_folder_and_one_line() {
    let sources = tempfile::tempdir().unwrap();
    let program = with_quince(sources.path());
    let peel = tiny::make("peel", "linux-image-quince");
    let mirror = format!(
        "  - {{base: quince, urls: [\"{}\"], suites: [\"{{suite}}\"], components: [main], keyring: {}}}\n",
        peel.url,
        peel.keyring.display()
    );
    let world = World::made_by(&program, SPEC, &mirror);
    let release = world.released();
    let locked = world.locked();
    // Its kernel by its folder, htop by the line of the table, the rest as on Debian.
    assert!(locked.contains(&("linux-image-quince".to_owned(), "kernel".to_owned())), "{locked:?}");
    assert!(locked.contains(&("hello".to_owned(), "utils".to_owned())), "{locked:?}");
    assert!(world.root_file(&release, "usr/share/doc/hello/copyright").is_some());
    let sbom = fs::read_to_string(super::find(&release, ".spdx.json")).unwrap();
    assert!(sbom.contains("pkg:deb/quince/hello@"), "{sbom}");
    let rows =
        must(command(program.to_str().unwrap()).args(["packages", "htop", "nginx", "--base", "quince"]));
    assert!(rows.contains("hello") && rows.contains("nginx"), "{rows}");
}
