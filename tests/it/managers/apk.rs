//! Alpine: signed packages made here, resolved and installed by the real apk, which is in no
//! registry: where it is not, these tests say so and nothing is shown.

use super::{
    WITH_ZRAM, World, base_tree, busybox_tree, command, must, openrc_starts, openrc_tree, put, same_bytes,
    words,
};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The program, if it is here.
pub fn program() -> Option<&'static str> {
    let there = ["/usr/local/bin/apk", "/usr/sbin/apk"].into_iter().find(|path| Path::new(path).exists());
    if there.is_none() {
        eprintln!("SKIPPED: apk is not on this host; Alpine was NOT built");
    }
    there
}

/// Whether it is.
pub fn is_there() -> bool {
    program().is_some()
}

/// A repository and who signs it.
pub struct Repository {
    pub dir: PathBuf,
    packages: RefCell<Vec<Value>>,
    _temporary: tempfile::TempDir,
}

pub const SUITE: &str = "3.22";

impl Repository {
    pub fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("apk").tempdir_in("/var/tmp").unwrap();
        let dir = temporary.path().to_owned();
        let repository = Self { packages: RefCell::default(), dir, _temporary: temporary };
        fs::create_dir_all(repository.files()).unwrap();
        repository.key("test");
        repository.key("stranger");
        repository.package("alpine-baselayout", &[], "", |tree| base_tree(tree, "alpine"));
        let script = "#!/bin/sh\nls -A /proc/net | grep -c route >/var/lib/script-ran\ntrue\n";
        repository.package("busybox", &["alpine-baselayout"], script, busybox_tree);
        for name in ["alpine-base", "shadow"] {
            repository.package(name, &["busybox"], "", |_| {});
        }
        repository.package("openrc", &["busybox"], "", openrc_tree);
        repository.package("linux-lts", &["alpine-baselayout"], "", |tree| {
            put(tree, "usr/lib/modules/6.6.1-0-lts/modules.dep", "", 0o644);
            put(tree, "boot/vmlinuz-lts", "a kernel", 0o644);
        });
        repository.package("hello", &["busybox>=1"], "", |tree| {
            put(tree, "usr/share/hello/hi", "hi\n", 0o644);
        });
        repository.index("test");
        repository
    }

    /// Makes a key pair: a folder of its own for the public half.
    fn key(&self, name: &str) {
        let secret = self.dir.join(format!("{name}.rsa"));
        must(command("openssl").args(["genrsa", "-out"]).arg(&secret).arg("2048"));
        let public = self.keys(name).join(format!("{name}.rsa.pub"));
        fs::create_dir_all(self.keys(name)).unwrap();
        must(command("openssl").args(["rsa", "-pubout", "-in"]).arg(&secret).arg("-out").arg(public));
    }

    pub fn keys(&self, name: &str) -> PathBuf {
        self.dir.join(format!("keys-{name}"))
    }

    fn files(&self) -> PathBuf {
        self.dir.join("mirror").join(format!("v{SUITE}/main/x86_64"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files().join(format!("{name}-1-r0.apk"))
    }

    pub fn package(&self, name: &str, depends: &[&str], script: &str, fill: impl FnOnce(&Path)) {
        let tree = self.dir.join("trees").join(name);
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        let provides: &[&str] = if name == "busybox" { &["/bin/sh"] } else { &[] };
        let mut packages = self.packages.borrow_mut();
        packages.retain(|p| p["name"] != name);
        packages.push(json!({
            "name": name, "tree": tree, "depends": depends, "provides": provides, "script": script, "signed": true
        }));
        let _ = fs::remove_file(self.file(name));
    }

    /// Makes what is missing, and the index anew.
    pub fn index(&self, key: &str) {
        let mut child = command("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/managers/apk.py"))
            .arg(self.files())
            .arg(self.dir.join(format!("{key}.rsa")))
            .arg(format!("{key}.rsa.pub"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), &*self.packages.borrow()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub fn mirrors(&self, key: &str) -> String {
        format!(
            "  - {{base: alpine, urls: [\"file://{}\"], suites: [\"{{suite}}\"], components: [main], keyring: {}}}\n",
            self.dir.join("mirror").display(),
            self.keys(key).display()
        )
    }
}

pub fn spec(packages: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: tiny}}\nspec:\n  base: alpine\n  \
        suite: \"{SUITE}\"\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {{utils: [{packages}]}}\n"
    )
}

#[test]
fn alpine_is_installed_by_apk_and_is_the_same_twice() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    let world = World::new(&spec("hello"), &repository.mirrors("test"));
    let release = world.released();
    assert_eq!(world.layer_of("busybox"), "bootstrap");
    assert_eq!(world.layer_of("linux-lts"), "kernel");
    assert_eq!(world.layer_of("hello"), "utils");
    assert_eq!(world.root_file(&release, "usr/share/hello/hi").unwrap(), b"hi\n");
    // The script of a package ran, in a network with nothing in it.
    assert!(world.root_file(&release, "var/lib/script-ran").is_some());
    let wanted = String::from_utf8(world.root_file(&release, "etc/apk/world").unwrap()).unwrap();
    assert!(wanted.lines().any(|line| line == "hello") && !wanted.contains("><"), "{wanted}");
    for gone in ["usr/lib/apk/db/lock", "var/log/apk.log"] {
        assert!(world.root_file(&release, gone).is_none(), "{gone} is in the image");
    }
    // Another folder, another time: the same bytes.
    let other = World::new(&spec("hello"), &repository.mirrors("test"));
    same_bytes(&release, &other.released());
    // Its own init system can be asked for by name.
    let asked =
        World::new(&format!("{}  init: openrc\n{WITH_ZRAM}", spec("hello")), &repository.mirrors("test"));
    openrc_starts(&asked, &asked.released());
}

#[test]
fn alpine_repositories_that_are_refused() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    let world = World::new(&spec("hello"), &repository.mirrors("stranger"));
    let said = world.refused();
    assert!(said.contains("index is not signed") && said.contains("\"class\":\"upstream\""), "{said}");
    world.settings(&repository.mirrors("test"));
    // A package that was changed after it was listed, and one that is gone.
    let hello = repository.file("hello");
    let sound = fs::read(&hello).unwrap();
    for place in [sound.len() / 2, sound.len() - 20] {
        let mut changed = sound.clone();
        changed[place] ^= 1;
        fs::write(&hello, &changed).unwrap();
        let said = world.refused();
        assert!(
            said.contains("is not what its index says") || said.contains("package is not signed"),
            "{said}"
        );
    }
    fs::remove_file(&hello).unwrap();
    assert!(world.refused().contains("it is not there"));
    // Packages that somebody else signed, or nobody, in an index that is signed.
    repository.index("stranger");
    repository.index("test");
    assert!(world.refused().contains("package is not signed"));
    fs::remove_file(&hello).unwrap();
    for package in repository.packages.borrow_mut().iter_mut() {
        package["signed"] = (package["name"] != "hello").into();
    }
    repository.index("test");
    assert!(world.refused().contains("package is not signed"));
    fs::write(&hello, &sound).unwrap();
    // An index that was changed.
    let index = repository.files().join("APKINDEX.tar.gz");
    let mut bytes = fs::read(&index).unwrap();
    let place = bytes.len() - 10;
    bytes[place] ^= 1;
    fs::write(&index, bytes).unwrap();
    let said = world.refused();
    assert!(said.contains("index is not signed"), "{said}");
    // Nothing of it stays in the way.
    repository.index("test");
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", words(&done));
}

#[test]
fn what_alpine_cannot_install_is_named() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    repository.package("rival", &["!hello"], "", |_| {});
    repository.package("lost", &["nowhere"], "", |_| {});
    repository.index("test");
    let world = World::new(&spec("nosuchthing"), &repository.mirrors("test"));
    let said = world.refused();
    assert!(said.contains("nosuchthing of layer utils is not in the configured repositories"), "{said}");
    for packages in ["hello, rival", "lost"] {
        put(&world.dir, "specs/tiny.yaml", spec(packages), 0o644);
        world.commit();
        let said = world.refused();
        assert!(said.contains("cannot be installed together"), "{packages}: {said}");
    }
    repository.package("hello", &["busybox"], "#!/bin/sh\nexit 3\n", |_| {});
    repository.index("test");
    put(&world.dir, "specs/tiny.yaml", spec("hello"), 0o644);
    world.commit();
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", words(&done));
    world.commit();
    let done = world.run(&["reconcile"]);
    let said = words(&done);
    assert!(!done.status.success() && said.contains("a package's script failed"), "{said}");
}
