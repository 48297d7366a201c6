//! Void: signed packages made here by xbps's own programs, resolved and installed by the real
//! xbps, which is in no registry: where it is not, these tests say so and nothing is shown.

use super::{World, base_tree, busybox_tree, command, must, put, same_bytes, words};
use std::fs;
use std::path::{Path, PathBuf};

/// Whether the program is here.
pub fn is_there() -> bool {
    let there = ["/usr/local/bin", "/usr/bin"].iter().any(|dir| Path::new(dir).join("xbps-install").exists());
    if !there {
        eprintln!("SKIPPED: xbps is not on this host; Void was NOT built");
    }
    there
}

/// A repository and who signs it.
pub struct Repository {
    pub dir: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Repository {
    pub fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("xbps").tempdir_in("/var/tmp").unwrap();
        let repository = Self { dir: temporary.path().to_owned(), _temporary: temporary };
        fs::create_dir_all(repository.files()).unwrap();
        repository.key("test");
        repository.key("stranger");
        repository.package("base-files", "", |tree| base_tree(tree, "void"));
        // Packages of xbps have no empty folders.
        let script = "#!/bin/sh\nmkdir -p /var/lib\ntest \"$1\" = post || exit 0\nls -A /proc/net | grep -c route >/var/lib/script-ran\ntrue\n";
        repository.package("busybox", "base-files>=1", |tree| {
            busybox_tree(tree);
            put(tree, "INSTALL", script, 0o755);
        });
        for name in ["base-container", "bash", "eudev", "iproute2", "kmod", "shadow", "runit-void"] {
            repository.package(name, "busybox>=1", |tree| {
                put(tree, &format!("usr/share/doc/{name}"), name, 0o644);
            });
        }
        repository.package("linux-lts", "base-files>=1", |tree| {
            put(tree, "usr/lib/modules/6.6/vmlinuz", "a kernel", 0o644);
        });
        repository.package("hello", "busybox>=1", |tree| put(tree, "usr/share/hello/hi", "hi\n", 0o644));
        repository.index("test");
        repository
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.pem"))
    }

    /// Makes a key pair: a folder of its own for the public half.
    fn key(&self, name: &str) {
        must(command("openssl").args(["genrsa", "-out"]).arg(self.secret(name)).arg("2048"));
        let public = self.keys(name).join(format!("{name}.pem"));
        fs::create_dir_all(self.keys(name)).unwrap();
        must(
            command("openssl").args(["rsa", "-pubout", "-in"]).arg(self.secret(name)).arg("-out").arg(public),
        );
    }

    fn keys(&self, name: &str) -> PathBuf {
        self.dir.join(format!("keys-{name}"))
    }

    fn files(&self) -> PathBuf {
        self.dir.join("mirror/current")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files().join(format!("{name}-1_1.x86_64.xbps"))
    }

    pub fn package(&self, name: &str, depends: &str, fill: impl FnOnce(&Path)) {
        self.create(name, &["--dependencies", depends], fill);
    }

    /// Makes a package with more options of `xbps-create`.
    fn create(&self, name: &str, options: &[&str], fill: impl FnOnce(&Path)) {
        let tree = self.dir.join("trees").join(name);
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        // No time in an image is later than the newest of its packages.
        let touched = "find \"$1\" -exec touch --no-dereference --date=@1700000000 {} +";
        must(command("sh").args(["-c", touched, "sh"]).arg(&tree));
        for old in [self.file(name), self.signature(name)] {
            let _ = fs::remove_file(old);
        }
        let full = format!("{name}-1_1");
        must(
            command("xbps-create")
                .current_dir(self.files())
                .args(["--architecture", "x86_64", "--desc", "a test", "--pkgver", &full])
                .args(options)
                .arg(&tree),
        );
    }

    fn signature(&self, name: &str) -> PathBuf {
        let mut path = self.file(name).into_os_string();
        path.push(".sig2");
        path.into()
    }

    /// Makes the index anew, signs it and what is not signed yet.
    pub fn index(&self, key: &str) {
        let index = self.files().join("x86_64-repodata");
        let _ = fs::remove_file(&index);
        let packages: Vec<PathBuf> = fs::read_dir(self.files())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "xbps"))
            .collect();
        must(self.rindex(key).arg("--add").args(&packages));
        must(self.rindex(key).args(["--signedby", "test", "--sign"]).arg(self.files()));
        must(self.rindex(key).arg("--sign-pkg").args(&packages));
        self.sign_index(key);
    }

    /// Void's own repositories have no such file.
    fn sign_index(&self, key: &str) {
        let index = self.files().join("x86_64-repodata");
        must(
            command("openssl")
                .args(["dgst", "-sha256", "-sign"])
                .arg(self.secret(key))
                .arg("-out")
                .arg(self.files().join("x86_64-repodata.sig2"))
                .arg(index),
        );
    }

    fn rindex(&self, key: &str) -> std::process::Command {
        let mut command = command("xbps-rindex");
        command.env("XBPS_ARCH", "x86_64").arg("--privkey").arg(self.secret(key));
        command
    }

    pub fn mirrors(&self, key: &str, more: &str) -> String {
        format!(
            "  - {{base: void, urls: [\"file://{}\"], suites: [\"{{suite}}\"], components: [current], keyring: {}{more}}}\n",
            self.dir.join("mirror").display(),
            self.keys(key).display()
        )
    }
}

pub fn spec(packages: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: tiny}}\nspec:\n  base: void\n  suite: rolling\n  \
        channel: edge\n  outputs: [oci, rootfs]\n  packages: {{utils: [{packages}]}}\n"
    )
}

#[test]
fn void_is_installed_by_xbps_and_is_the_same_twice() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    let world = World::new(&spec("hello"), &repository.mirrors("test", ""));
    let release = world.released();
    assert_eq!(world.layer_of("busybox"), "bootstrap");
    assert_eq!(world.layer_of("linux-lts"), "kernel");
    assert_eq!(world.layer_of("hello"), "utils");
    assert_eq!(world.root_file(&release, "usr/share/hello/hi").unwrap(), b"hi\n");
    // The script of a package ran, in a network with nothing in it.
    assert!(world.root_file(&release, "var/lib/script-ran").is_some());
    let names = world.names(&release);
    let lost = ["var/db/xbps/lock", "INSTALL", "props.plist", "files.plist"];
    for gone in lost.iter().chain(&["run/packages", "run/cache"]) {
        assert!(!names.iter().any(|name| name == gone), "{gone} is in the image");
    }
    assert!(!names.iter().any(|name| name.starts_with("var/cache/xbps/")));
    // Another folder, another time: the same bytes.
    let other = World::new(&spec("hello"), &repository.mirrors("test", ""));
    same_bytes(&release, &other.released());
}

#[test]
fn void_repositories_that_are_refused() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    let world = World::new(&spec("hello"), &repository.mirrors("stranger", ""));
    let said = world.refused();
    assert!(said.contains("index is not signed") && said.contains("\"class\":\"upstream\""), "{said}");
    world.settings(&repository.mirrors("test", ""));
    // A package that was changed after it was listed, with and without its size kept, and one that is gone.
    let (hello, signature) = (repository.file("hello"), repository.signature("hello"));
    let sound = fs::read(&hello).unwrap();
    let mut changed = sound.clone();
    changed[sound.len() / 2] ^= 1;
    fs::write(&hello, &changed).unwrap();
    let said = world.refused();
    assert!(said.contains("is not what its index says"), "{said}");
    fs::write(&hello, &sound[..sound.len() - 1]).unwrap();
    let said = world.refused();
    assert!(said.contains("is not what its index says"), "{said}");
    fs::remove_file(&hello).unwrap();
    assert!(world.refused().contains("it is not there"));
    fs::write(&hello, &sound).unwrap();
    // A package that nobody signed, and one that somebody else did.
    fs::remove_file(&signature).unwrap();
    assert!(world.refused().contains("the package hello is not signed"));
    must(repository.rindex("stranger").arg("--sign-pkg").arg(&hello));
    assert!(world.refused().contains("the package hello is not signed"));
    // An index that names another key than the one that signed it.
    fs::remove_file(&signature).unwrap();
    repository.index("stranger");
    repository.sign_index("test");
    let said = world.refused();
    assert!(said.contains("index is not signed"), "{said}");
    // One without a signature, as Void's own: only where the settings say so, and never by a stranger.
    repository.index("test");
    let own = repository.files().join("x86_64-repodata.sig2");
    fs::remove_file(&own).unwrap();
    let said = world.refused();
    assert!(said.contains("index is not signed"), "{said}");
    world.settings(&repository.mirrors("stranger", ", unsignedIndexes: true"));
    let said = world.refused();
    assert!(said.contains("index is not signed"), "{said}");
    world.settings(&repository.mirrors("test", ", unsignedIndexes: true"));
    // Nothing of it stays in the way.
    fs::remove_file(&signature).unwrap();
    must(repository.rindex("test").arg("--sign-pkg").arg(&hello));
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", words(&done));
}

#[test]
fn what_void_cannot_install_is_named() {
    if !is_there() {
        return;
    }
    let repository = Repository::new();
    repository.create("rival", &["--conflicts", "hello>=0"], |tree| put(tree, "usr/share/rival", "", 0o644));
    repository.package("lost", "nowhere>=1", |tree| put(tree, "usr/share/lost", "", 0o644));
    repository.index("test");
    let world = World::new(&spec("nosuchthing"), &repository.mirrors("test", ""));
    let said = world.refused();
    assert!(said.contains("nosuchthing of layer utils is not in the configured repositories"), "{said}");
    for packages in ["hello, rival", "lost"] {
        put(&world.dir, "specs/tiny.yaml", spec(packages), 0o644);
        world.commit();
        let said = world.refused();
        assert!(said.contains("cannot be installed together"), "{packages}: {said}");
    }
    repository.package("hello", "busybox>=1", |tree| {
        put(tree, "INSTALL", "#!/bin/sh\nexit 3\n", 0o755);
        put(tree, "usr/share/hello/hi", "hi\n", 0o644);
    });
    repository.index("test");
    put(&world.dir, "specs/tiny.yaml", spec("hello"), 0o644);
    world.commit();
    let said = world.not_built();
    assert!(said.contains("a package's script failed"), "{said}");
}
