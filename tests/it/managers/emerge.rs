//! Gentoo: signed binary packages made here, resolved and installed by the real emerge.

use super::{
    Gpg, WITH_ZRAM, World, base_tree, busybox_tree, command, openrc_starts, openrc_tree, put, same_bytes,
    words,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where portage reads what packages are; a mirror's component.
pub const COMPONENT: &str = "binpackages/x86-64";

/// A binary host and who signs it.
pub struct Repository {
    pub dir: PathBuf,
    pub gpg: Gpg,
    packages: RefCell<Vec<Value>>,
    /// What packages want to run on the host that installs them; only a root elsewhere does without.
    pub wants_of_host: &'static str,
    _temporary: tempfile::TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("emerge").tempdir_in("/var/tmp").unwrap();
        let dir = temporary.path().to_owned();
        let repository = Self {
            gpg: Gpg::new(&dir, "gnupg"),
            packages: RefCell::default(),
            wants_of_host: "sys-apps/nowhere",
            dir,
            _temporary: temporary,
        };
        fs::create_dir_all(repository.files()).unwrap();
        repository.gpg.export(&repository.dir.join("keys.gpg"));
        repository.package("sys-apps/baselayout", "", "", |tree| base_tree(tree, "gentoo"));
        let script = "mkdir -p \"${EROOT}/var/lib\"; ls -A /proc/net | grep -c route >\"${EROOT}/var/lib/script-ran\"; true";
        repository.package("sys-apps/busybox", "sys-apps/baselayout", script, busybox_tree);
        for name in [
            "app-portage/gentoolkit",
            "app-shells/bash",
            "sys-apps/coreutils",
            "sys-apps/portage",
            "sys-apps/shadow",
            "sys-apps/systemd",
        ] {
            repository.package(name, "sys-apps/busybox", "", |_| {});
        }
        repository.package("sys-apps/openrc", "sys-apps/busybox", "", openrc_tree);
        repository.package("sys-kernel/gentoo-kernel-bin", "sys-apps/baselayout", "", |tree| {
            put(tree, "usr/lib/modules/6.6/vmlinuz", "a kernel", 0o644);
        });
        repository.package("app-misc/hello", ">=sys-apps/busybox-1", "", |tree| {
            put(tree, "usr/share/hello/hi", "hi\n", 0o644);
        });
        repository.index();
        repository
    }

    fn files(&self) -> PathBuf {
        self.dir.join("mirror").join(COMPONENT)
    }

    fn file(&self, name: &str) -> PathBuf {
        let (_, own) = name.split_once('/').unwrap();
        self.files().join(format!("{name}/{own}-1-1.gpkg.tar"))
    }

    pub fn package(&self, name: &str, needs: &str, script: &str, fill: impl FnOnce(&Path)) {
        let (category, own) = name.split_once('/').unwrap();
        let tree = self.dir.join("trees").join(name);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        let phases = if script.is_empty() { "-" } else { "postinst" };
        let pf = format!("{own}-1");
        let function = format!("pkg_postinst() {{ :; {script}\n}}\n");
        let mut fields = json!({
            "EAPI": "8", "SLOT": "0", "KEYWORDS": "amd64", "LICENSE": "MIT", "CATEGORY": category,
            "CHOST": "x86_64-pc-linux-gnu", "BUILD_ID": "1", "BUILD_TIME": "1700000000", "USE": "amd64",
            "IUSE": "", "DESCRIPTION": "a test", "HOMEPAGE": "about:blank", "RDEPEND": needs,
            "BDEPEND": "dev-lang/perl", "IDEPEND": self.wants_of_host, "DEFINED_PHASES": phases,
            "repository": "gentoo", "PF": pf
        });
        fields[format!("{pf}.ebuild")] = format!("EAPI=8\nSLOT=0\n{function}").into();
        let one = json!({
            "path": format!("{name}/{pf}-1.gpkg.tar"), "tree": tree, "signed": true, "fields": fields,
            "environment": format!("declare -x EAPI=\"8\"\ndeclare -x SLOT=\"0\"\n{function}"),
        });
        let mut packages = self.packages.borrow_mut();
        packages.retain(|p| p["path"] != one["path"]);
        packages.push(one);
        let _ = fs::remove_file(self.file(name));
    }

    /// Makes what is missing, and the index anew.
    pub fn index(&self) {
        self.index_by(&self.gpg);
    }

    /// Makes packages anew that nobody signs, and the index.
    pub fn unsigned(&self, name: &str) {
        for package in self.packages.borrow_mut().iter_mut() {
            let path = package["path"].as_str().unwrap().to_owned();
            if path.contains(name) {
                package["signed"] = false.into();
                fs::remove_file(self.files().join(path)).unwrap();
            }
        }
        self.index();
    }

    fn index_by(&self, gpg: &Gpg) {
        let mut child = command("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/managers/gpkg.py"))
            .arg(self.files())
            .arg(&gpg.home)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &*self.packages.borrow()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub fn mirrors(&self) -> String {
        self.mirrors_with(&self.dir.join("keys.gpg"))
    }

    fn mirrors_with(&self, keyring: &Path) -> String {
        format!(
            "  - {{base: gentoo, urls: [\"file://{}\"], suites: [\"{{suite}}\"], components: [{COMPONENT}], keyring: {}}}\n",
            self.dir.join("mirror").display(),
            keyring.display()
        )
    }

    fn unsigned_mirrors(&self) -> String {
        self.mirrors().replace("keyring:", "unsignedIndexes: true, keyring:")
    }
}

pub const SPEC: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: tiny}\nspec:\n  base: gentoo\n  \
    suite: rolling\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {utils: [app-misc/hello]}\n";

#[test]
fn gentoo_is_installed_by_emerge_and_is_the_same_twice() {
    let repository = Repository::new();
    let world = World::new(SPEC, &repository.mirrors());
    let release = world.released();
    assert_eq!(world.layer_of("sys-apps/busybox"), "bootstrap");
    assert_eq!(world.layer_of("sys-kernel/gentoo-kernel-bin"), "kernel");
    assert_eq!(world.layer_of("app-misc/hello"), "utils");
    assert_eq!(world.root_file(&release, "usr/share/hello/hi").unwrap(), b"hi\n");
    // The script of a package ran, in a network with nothing in it.
    assert!(world.root_file(&release, "var/lib/script-ran").is_some());
    assert_eq!(world.root_file(&release, "var/db/pkg/app-misc/hello-1/BUILD_ID").unwrap(), b"1\n");
    for name in world.names(&release) {
        let gone = ["var/cache/edb/", "var/tmp/portage", "var/log/emerge.log"];
        assert!(!gone.iter().any(|g| name.starts_with(g) && name != *g), "{name} is in the image");
        assert!(
            !name.starts_with("var/db/pkg/") || !name.ends_with("/metadata"),
            "{name} says when it was written"
        );
    }
    // Another folder, another time: the same bytes.
    let other = World::new(SPEC, &repository.mirrors());
    same_bytes(&release, &other.released());
}

#[test]
fn gentoo_is_started_by_openrc_or_by_systemd() {
    let repository = Repository::new();
    let openrc = World::new(&format!("{SPEC}  init: openrc\n{WITH_ZRAM}"), &repository.mirrors());
    let release = openrc.released();
    assert_eq!(openrc.layer_of("sys-apps/openrc"), "bootstrap");
    openrc_starts(&openrc, &release);
    let systemd = World::new(&format!("{SPEC}  init: systemd\n{WITH_ZRAM}"), &repository.mirrors());
    let release = systemd.released();
    assert_eq!(systemd.layer_of("sys-apps/systemd"), "bootstrap");
    assert!(!systemd.locked().iter().any(|(name, _)| name == "sys-apps/openrc"), "{:?}", systemd.locked());
    for path in ["etc/systemd/system/bootwright-zram", "usr/lib/systemd/system/bootwright-probe"] {
        assert!(systemd.root_file(&release, &format!("{path}.service")).is_some(), "{path}");
    }
    assert!(!systemd.names(&release).iter().any(|name| name.starts_with("etc/runlevels")));
    let runit = World::new(&format!("{SPEC}  init: runit\n"), &repository.mirrors()).refused();
    assert!(runit.contains("not yet built: images of this distribution with this init system"), "{runit}");
}

#[test]
fn binary_hosts_that_are_refused() {
    let repository = Repository::new();
    let world = World::new(SPEC, &repository.mirrors());
    let stranger = Gpg::new(&repository.dir, "stranger");
    let keys = repository.dir.join("stranger.gpg");
    stranger.export(&keys);
    world.settings(&repository.mirrors_with(&keys));
    let said = world.refused();
    assert!(said.contains("index is not signed") && said.contains("\"class\":\"upstream\""), "{said}");
    world.settings(&repository.mirrors());
    // A package that was changed after it was listed.
    let hello = repository.file("app-misc/hello");
    let sound = fs::read(&hello).unwrap();
    let mut changed = sound.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&hello, &changed).unwrap();
    let said = world.refused();
    assert!(said.contains("hello-1-1 is not what its index says"), "{said}");
    fs::remove_file(&hello).unwrap();
    let said = world.refused();
    assert!(said.contains("hello-1-1.gpkg.tar") && said.contains("it is not there"), "{said}");
    fs::write(&hello, &sound).unwrap();
    // An index that was changed, and one without a signature.
    let index = repository.files().join("Packages");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("TIMESTAMP: 1", "TIMESTAMP: 2")).unwrap();
    assert!(world.refused().contains("index is not signed"));
    repository.index();
    let signature = repository.files().join("Packages.asc");
    fs::remove_file(&signature).unwrap();
    assert!(world.refused().contains("index is not signed"));
    // Nothing of it stays in the way.
    repository.index();
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", words(&done));
}

/// As Gentoo's own binary host is: the index is the mirror's word, the packages are signed.
#[test]
fn packages_of_a_binary_host_that_are_refused() {
    let repository = Repository::new();
    let unsign = || fs::remove_file(repository.files().join("Packages.asc")).unwrap();
    let hello = repository.file("app-misc/hello");
    let stranger = Gpg::new(&repository.dir, "stranger");
    // One that somebody else signed.
    fs::remove_file(&hello).unwrap();
    repository.index_by(&stranger);
    unsign();
    let said = World::new(SPEC, &repository.unsigned_mirrors()).not_built();
    assert!(said.contains("package is not signed") && said.contains("\"class\":\"upstream\""), "{said}");
    // One that nobody signed.
    repository.unsigned("hello");
    unsign();
    let said = World::new(SPEC, &repository.unsigned_mirrors()).not_built();
    assert!(said.contains("package is not signed"), "{said}");
}

#[test]
fn what_gentoo_cannot_install_is_named() {
    let repository = Repository::new();
    repository.package("app-misc/rival", "!!app-misc/hello", "", |_| {});
    repository.package("app-misc/lost", "app-misc/nowhere", "", |_| {});
    repository.package("app-misc/hello", "sys-apps/busybox", "die nope", |_| {});
    repository.index();
    let with = |packages: &str| SPEC.replace("utils: [app-misc/hello]", &format!("extra: [{packages}]"));
    let world = World::new(&with("app-misc/nosuchthing"), &repository.mirrors());
    let said = world.refused();
    assert!(
        said.contains("app-misc/nosuchthing of layer extra is not in the configured repositories"),
        "{said}"
    );
    assert!(said.contains("nothing is compiled"), "{said}");
    for (packages, complaint) in [
        ("app-misc/lost", "app-misc/nowhere of layer extra, which app-misc/lost-1"),
        ("app-misc/hello, app-misc/rival", "cannot be installed together"),
    ] {
        put(&world.dir, "specs/tiny.yaml", with(packages), 0o644);
        world.commit();
        let said = world.refused();
        assert!(said.contains(complaint), "{packages}: {said}");
    }
    put(&world.dir, "specs/tiny.yaml", SPEC, 0o644);
    world.commit();
    let said = world.not_built();
    assert!(said.contains("a package's script failed"), "{said}");
}
