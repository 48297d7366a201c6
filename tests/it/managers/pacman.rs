//! Arch: signed repositories made with `repo-add`, installed with the real pacman.

use super::{Gpg, World, base_tree, busybox_tree, command, must, put, same_bytes};
use std::fs;
use std::path::{Path, PathBuf};

/// A repository `core` as Arch lays it out, and who signs it.
pub struct Repository {
    pub dir: PathBuf,
    gpg: Gpg,
}

/// What a package says of itself beside its name.
#[derive(Default)]
pub struct About<'a> {
    pub depends: &'a [&'a str],
    pub conflicts: &'a [&'a str],
    pub install: &'a str,
}

impl Repository {
    pub fn new(dir: &Path) -> Self {
        let repository = Self { dir: dir.to_owned(), gpg: Gpg::new(dir, "gnupg") };
        fs::create_dir_all(repository.files()).unwrap();
        repository.gpg.export(&dir.join("keys.gpg"));
        repository.package("filesystem", About::default(), |tree| base_tree(tree, "arch"));
        let install =
            "post_install() {\n  echo \"$(ls -A /proc/net/ | grep -c route)\" > /var/lib/script-ran\n}\n";
        repository.package(
            "busybox",
            About { depends: &["filesystem"], install, ..About::default() },
            busybox_tree,
        );
        repository.package("base", About { depends: &["busybox>=1"], ..About::default() }, |_| {});
        repository.package("linux-lts", About { depends: &["base"], ..About::default() }, |tree| {
            put(tree, "usr/lib/modules/6.6/vmlinuz", "a kernel", 0o644);
        });
        repository.package("hello", About { depends: &["busybox"], ..About::default() }, |tree| {
            put(tree, "usr/share/hello/hi", "hi\n", 0o644);
        });
        repository.index();
        repository
    }

    /// The folder of package files and the database.
    pub fn files(&self) -> PathBuf {
        self.dir.join("mirror/core/os/x86_64")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files().join(format!("{name}-1-1-x86_64.pkg.tar.zst"))
    }

    pub fn package(&self, name: &str, about: About<'_>, fill: impl FnOnce(&Path)) {
        let tree = self.dir.join("trees").join(name);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        let mut info = format!(
            "pkgname = {name}\npkgbase = {name}\npkgver = 1-1\npkgdesc = a test\nurl = about:blank\n\
             builddate = 1700000000\npackager = test\nsize = 1\narch = x86_64\n"
        );
        info.extend(about.depends.iter().map(|d| format!("depend = {d}\n")));
        info.extend(about.conflicts.iter().map(|c| format!("conflict = {c}\n")));
        put(&tree, ".PKGINFO", info, 0o644);
        if !about.install.is_empty() {
            put(&tree, ".INSTALL", about.install, 0o644);
        }
        let mut names: Vec<String> =
            fs::read_dir(&tree).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let file = self.file(name);
        must(
            command("bsdtar")
                .current_dir(&tree)
                .args(["--zstd", "--uid", "0", "--gid", "0", "-cf"])
                .arg(&file)
                .args(names),
        );
        self.gpg.sign(&file);
    }

    /// Writes and signs the database anew.
    pub fn index(&self) {
        for name in ["core.db", "core.db.sig", "core.db.tar.gz", "core.db.tar.gz.sig"] {
            let _ = fs::remove_file(self.files().join(name));
        }
        let packages = fs::read_dir(self.files()).unwrap().map(|e| e.unwrap().path());
        let packages: Vec<PathBuf> = packages.filter(|p| p.to_string_lossy().ends_with(".zst")).collect();
        must(
            command("repo-add")
                .env("GNUPGHOME", &self.gpg.home)
                .args(["--quiet", "--sign", "--key", &self.gpg.fingerprint])
                .arg(self.files().join("core.db.tar.gz"))
                .args(packages),
        );
    }

    pub fn mirrors(&self) -> String {
        self.mirrors_with(&self.dir.join("keys.gpg"))
    }

    /// The same, whose databases may be unsigned.
    fn unsigned_mirrors(&self) -> String {
        self.mirrors().replace("keyring:", "unsignedIndexes: true, keyring:")
    }

    fn mirrors_with(&self, keyring: &Path) -> String {
        format!(
            "  - {{base: arch, urls: [\"file://{}\"], suites: [\"{{suite}}\"], components: [core], keyring: {}}}\n",
            self.dir.join("mirror").display(),
            keyring.display()
        )
    }
}

pub const SPEC: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: tiny}\nspec:\n  base: arch\n  \
    suite: rolling\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {utils: [hello]}\n";

pub fn repository() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::Builder::new().prefix("pacman").tempdir_in("/var/tmp").unwrap();
    let repository = Repository::new(dir.path());
    (dir, repository)
}

#[test]
fn an_image_is_installed_by_pacman_and_is_the_same_twice() {
    let (_dir, repository) = repository();
    let world = World::new(SPEC, &repository.mirrors());
    let release = world.released();
    assert_eq!(world.layer_of("busybox"), "bootstrap");
    assert_eq!(world.layer_of("linux-lts"), "kernel");
    assert_eq!(world.layer_of("hello"), "utils");
    assert_eq!(world.root_file(&release, "usr/share/hello/hi").unwrap(), b"hi\n");
    // The script of a package ran, in a network with nothing in it.
    assert!(world.root_file(&release, "var/lib/script-ran").is_some());
    let desc = world.root_file(&release, "var/lib/pacman/local/hello-1-1/desc").unwrap();
    assert!(String::from_utf8(desc).unwrap().contains("%INSTALLDATE%\n"));
    let names = world.names(&release);
    for gone in
        ["var/lib/pacman/sync/core.db", "var/log/pacman.log", "var/lib/pacman/db.lck", "etc/pacman.d/gnupg"]
    {
        assert!(!names.iter().any(|n| n.trim_end_matches('/') == gone), "{gone} is in the image");
    }
    // Another folder, another time: the same bytes.
    let other = World::new(SPEC, &repository.mirrors());
    same_bytes(&release, &other.released());
}

#[test]
fn the_kernel_that_is_asked_for_is_installed() {
    let (_dir, repository) = repository();
    let kernels = ["linux-zen", "linux-hardened"];
    let image = |name: &str| format!("usr/lib/modules/6.6-{name}/vmlinuz");
    for name in kernels {
        repository.package(name, About { depends: &["base"], ..About::default() }, |tree| {
            put(tree, &image(name), name, 0o644);
        });
    }
    repository.index();
    for name in kernels {
        let world = World::new(&format!("{SPEC}  kernel: {{version: {name}}}\n"), &repository.mirrors());
        let release = world.released();
        assert_eq!(world.layer_of(name), "kernel");
        let others = world.locked().into_iter().filter(|(other, layer)| layer == "kernel" && other != name);
        assert_eq!(others.collect::<Vec<_>>(), []);
        assert_eq!(world.root_file(&release, &image(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn who_is_not_trusted_is_refused() {
    let (dir, repository) = repository();
    let world = World::new(SPEC, &repository.mirrors());
    // Somebody else's key.
    let stranger = Gpg::new(dir.path(), "stranger");
    let keys = dir.path().join("stranger.gpg");
    stranger.export(&keys);
    world.settings(&repository.mirrors_with(&keys));
    let said = world.refused();
    assert!(said.contains("database is not signed") && said.contains("\"class\":\"upstream\""), "{said}");
    assert!(said.contains("keyring"), "{said}");
    world.settings(&repository.mirrors());
    // A package that was changed after it was signed.
    let hello = repository.file("hello");
    let sound = fs::read(&hello).unwrap();
    let mut changed = sound.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&hello, &changed).unwrap();
    let said = world.refused();
    assert!(said.contains("package is not signed"), "{said}");
    // One that is not signed at all.
    fs::write(&hello, &sound).unwrap();
    let signature = PathBuf::from(format!("{}.sig", hello.display()));
    let kept = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    let said = world.refused();
    assert!(said.contains("package is not signed"), "{said}");
    fs::write(&signature, kept).unwrap();
    // A database that was changed, and one without a signature.
    let database = repository.files().join("core.db.tar.gz");
    let mut bytes = fs::read(&database).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    fs::write(&database, bytes).unwrap();
    let said = world.refused();
    assert!(said.contains("database is not signed"), "{said}");
    repository.index();
    fs::remove_file(repository.files().join("core.db.sig")).unwrap();
    let said = world.refused();
    assert!(said.contains("database is not signed"), "{said}");
    // Nothing of it stays in the way.
    repository.index();
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", super::words(&done));
}

/// What lies beside a distribution's keyring: keys that vouch for others, and keys that count
/// for nothing any more.
#[test]
fn keys_are_vouched_for_and_revoked() {
    let (dir, repository) = repository();
    let beside =
        |suffix: &str, text: String| fs::write(dir.path().join(format!("keys-{suffix}")), text).unwrap();
    let signs = &repository.gpg.fingerprint;
    let world = World::new(SPEC, &repository.mirrors());
    let accepted = || {
        let done = world.run(&["lock", "--update", "tiny"]);
        assert!(done.status.success(), "{}", super::words(&done));
    };
    let refused = || {
        let said = world.refused();
        assert!(said.contains("database is not signed"), "{said}");
    };
    beside("trusted", format!("{signs}:4:\n"));
    accepted();
    beside("revoked", format!("{signs}\n"));
    refused();
    beside("revoked", String::new());
    // Another key is trusted, and has nothing to say about the one that signs; then it has.
    let keyring = dir.path().join("keys.gpg");
    let other = Gpg::new(dir.path(), "other");
    must(other.gpg().arg("--import").arg(&keyring));
    other.export(&keyring);
    // One fully trusted key is enough (5); of those that Arch trusts (4), GnuPG wants three.
    beside("trusted", format!("{}:5:\n", other.fingerprint));
    refused();
    must(other.gpg().args(["--yes", "--passphrase", "", "--quick-sign-key", signs]));
    other.export(&keyring);
    accepted();
}

/// As the public mirrors are: the word of the mirror counts for what there is, and nothing else.
#[test]
fn without_signed_databases_packages_are_signed_all_the_same() {
    let (_dir, repository) = repository();
    let unsign = || {
        for name in ["core.db.sig", "core.db.tar.gz.sig"] {
            let _ = fs::remove_file(repository.files().join(name));
        }
    };
    unsign();
    let world = World::new(SPEC, &repository.unsigned_mirrors());
    world.released();
    // A signature that is there must be right.
    repository.index();
    let stranger = Gpg::new(&repository.dir, "stranger");
    unsign();
    stranger.sign(&repository.files().join("core.db.tar.gz"));
    fs::rename(repository.files().join("core.db.tar.gz.sig"), repository.files().join("core.db.sig"))
        .unwrap();
    let said = world.refused();
    assert!(said.contains("database is not signed"), "{said}");
    unsign();
    // A package without a signature.
    fs::remove_file(format!("{}.sig", repository.file("hello").display())).unwrap();
    let other = World::new(SPEC, &repository.unsigned_mirrors());
    let said = other.refused();
    assert!(said.contains("package is not signed"), "{said}");
}

#[test]
fn what_cannot_be_installed_is_named() {
    let (_dir, repository) = repository();
    repository.package("rival", About { conflicts: &["hello"], ..About::default() }, |_| {});
    repository.package("lost", About { depends: &["nowhere"], ..About::default() }, |_| {});
    repository.index();
    let with = |packages: &str| SPEC.replace("utils: [hello]", &format!("extra: [{packages}]"));
    let world = World::new(&with("nosuchthing"), &repository.mirrors());
    let said = world.refused();
    assert!(said.contains("nosuchthing of layer extra is not in the configured repositories"), "{said}");
    for packages in ["hello, rival", "lost"] {
        put(&world.dir, "specs/tiny.yaml", with(packages), 0o644);
        world.commit();
        let said = world.refused();
        assert!(said.contains("cannot be installed together"), "{packages}: {said}");
    }
}

#[test]
fn a_script_that_fails_fails_the_build() {
    let (_dir, repository) = repository();
    let about =
        About { depends: &["busybox"], install: "post_install() {\n  exit 3\n}\n", ..About::default() };
    repository.package("hello", about, |_| {});
    repository.index();
    let world = World::new(SPEC, &repository.mirrors());
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", super::words(&done));
    world.commit();
    let done = world.run(&["reconcile"]);
    assert!(
        !done.status.success() && super::words(&done).contains("a package's script failed"),
        "{}",
        super::words(&done)
    );
}
