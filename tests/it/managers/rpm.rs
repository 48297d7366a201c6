//! Fedora and openSUSE: signed repositories made with rpmbuild and createrepo_c, resolved by the
//! real dnf and zypper, installed by the real rpm.

use super::{Gpg, World, base_tree, busybox_tree, command, find, must, put, same_bytes};
use std::fs;
use std::path::{Path, PathBuf};

/// What differs between the two.
pub struct Kind {
    pub base: &'static str,
    pub suite: &'static str,
    /// A repository as settings name it.
    component: &'static str,
    /// The same, filled in.
    pub path: &'static str,
    /// What the smallest root asks for.
    brings: &'static str,
    kernel: &'static str,
}

pub const FEDORA: Kind = Kind {
    base: "fedora",
    suite: "41",
    component: "releases/{suite}/Everything/{arch}/os",
    path: "releases/41/Everything/x86_64/os",
    brings: "bash coreutils dnf fedora-release glibc-minimal-langpack shadow-utils systemd systemd-networkd util-linux",
    kernel: "kernel",
};

pub const OPENSUSE: Kind = Kind {
    base: "opensuse",
    suite: "leap-15.6",
    component: "distribution/leap/{version}/repo/oss",
    path: "distribution/leap/15.6/repo/oss",
    brings: "bash coreutils openSUSE-release shadow systemd util-linux zypper",
    kernel: "kernel-default",
};

/// What a package says of itself beside its name.
#[derive(Default)]
pub struct About<'a> {
    pub tags: &'a [&'a str],
    pub post: &'a str,
    pub unsigned: bool,
}

/// A repository and who signs it.
pub struct Repository {
    kind: &'static Kind,
    pub dir: PathBuf,
    gpg: Gpg,
    _temporary: tempfile::TempDir,
}

impl Repository {
    pub fn new(kind: &'static Kind) -> Self {
        let temporary = tempfile::Builder::new().prefix("rpm").tempdir_in("/var/tmp").unwrap();
        let dir = temporary.path().to_owned();
        let repository = Self { kind, gpg: Gpg::new(&dir, "gnupg"), dir, _temporary: temporary };
        fs::create_dir_all(repository.files()).unwrap();
        repository.gpg.export(&repository.dir.join("keys.gpg"));
        repository.package("filesystem", About::default(), |tree| base_tree(tree, kind.base));
        let tags = ["Requires: filesystem", "Provides: /bin/sh", "Epoch: 1"];
        let post = "echo \"$(ls -A /proc/net/ | grep -c route)\" > /var/lib/script-ran";
        repository.package("busybox", About { tags: &tags, post, ..About::default() }, busybox_tree);
        for name in kind.brings.split(' ') {
            repository.plain(name, |_| {});
        }
        repository.package(
            kind.kernel,
            About { tags: &["Requires: filesystem"], ..About::default() },
            |tree| {
                put(tree, "usr/lib/modules/6.6/vmlinuz", "a kernel", 0o644);
            },
        );
        repository.package(
            "hello",
            About {
                tags: &["Requires: /bin/sh", "Requires: (busybox >= 1:1 if filesystem)"],
                ..About::default()
            },
            |tree| put(tree, "usr/share/hello/hi", "hi\n", 0o644),
        );
        repository.index();
        repository
    }

    /// The folder of package files and their metadata.
    fn files(&self) -> PathBuf {
        self.dir.join("mirror").join(self.kind.path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files().join(format!("{name}-1-1.x86_64.rpm"))
    }

    fn metadata(&self, suffix: &str) -> PathBuf {
        find(&self.files().join("repodata"), suffix)
    }

    pub fn package(&self, name: &str, about: About<'_>, fill: impl FnOnce(&Path)) {
        let tree = self.dir.join("trees").join(name);
        fs::create_dir_all(&tree).unwrap();
        fill(&tree);
        let find =
            |args: &[&str]| must(command("find").current_dir(&tree).args(["-mindepth", "1"]).args(args));
        let folders = find(&["-type", "d", "-printf", "%%dir \"/%P\"\\n"]);
        let others = find(&["!", "-type", "d", "-printf", "\"/%P\"\\n"]);
        let post = if about.post.is_empty() { String::new() } else { format!("%post\n{}\n", about.post) };
        let spec = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: a test\nLicense: MIT\nAutoReqProv: no\n{}\n\
            %description\na test\n%install\nmkdir -p %{{buildroot}}; cp -a {}/. %{{buildroot}}/\n{post}\
            %files\n{folders}{others}",
            about.tags.join("\n"),
            tree.display()
        );
        let file = self.dir.join(format!("{name}.spec"));
        put(&self.dir, &format!("{name}.spec"), spec, 0o644);
        let mut build = command("rpmbuild");
        build.env("HOME", &self.dir).env("SOURCE_DATE_EPOCH", "1700000000");
        build.args(["-bb", "--quiet", "--target", "x86_64"]);
        for (macro_name, value) in [
            ("_topdir", self.dir.join("build").display().to_string()),
            ("_rpmdir", self.files().display().to_string()),
            ("_build_name_fmt", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned()),
            ("_build_id_links", "none".to_owned()),
            ("__os_install_post", "%{nil}".to_owned()),
            ("debug_package", "%{nil}".to_owned()),
            ("_buildhost", "localhost".to_owned()),
            ("use_source_date_epoch_as_buildtime", "1".to_owned()),
            ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
        ] {
            build.args(["--define", &format!("{macro_name} {value}")]);
        }
        must(build.arg(file));
        if !about.unsigned {
            must(
                command("rpmsign")
                    .env("HOME", &self.dir)
                    .env("GNUPGHOME", &self.gpg.home)
                    .args(["--define", &format!("_gpg_name {}", self.gpg.fingerprint)])
                    .args(["--define", "__gpg /usr/bin/gpg", "--addsign"])
                    .arg(self.file(name)),
            );
        }
    }

    /// A signed package that needs a shell.
    pub fn plain(&self, name: &str, fill: impl FnOnce(&Path)) {
        self.package(name, About { tags: &["Requires: busybox"], ..About::default() }, fill);
    }

    /// Makes and signs the metadata anew.
    pub fn index(&self) {
        must(command("createrepo_c").args(["--quiet", "--no-database"]).arg(self.files()));
        self.sign();
    }

    fn sign(&self) {
        let head = self.metadata("repomd.xml");
        must(self.gpg.gpg().args(["--yes", "--detach-sign", "--armor"]).arg(head));
    }

    pub fn mirrors(&self) -> String {
        self.mirrors_with(&self.dir.join("keys.gpg"))
    }

    fn mirrors_with(&self, keyring: &Path) -> String {
        format!(
            "  - {{base: {}, urls: [\"file://{}\"], suites: [\"{{suite}}\"], components: [\"{}\"], keyring: {}}}\n",
            self.kind.base,
            self.dir.join("mirror").display(),
            self.kind.component,
            keyring.display()
        )
    }

    pub fn world(&self) -> World {
        self.world_with("[hello]")
    }

    fn world_with(&self, packages: &str) -> World {
        World::new(&self.spec(packages), &self.mirrors())
    }

    /// A spec that asks for a list of packages.
    pub fn spec(&self, packages: &str) -> String {
        let Kind { base, suite, .. } = self.kind;
        format!(
            "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: tiny}}\nspec:\n  base: {base}\n  \
            suite: \"{suite}\"\n  channel: edge\n  outputs: [oci, rootfs]\n  packages: {{utils: {packages}}}\n"
        )
    }
}

fn is_installed_and_the_same_twice(kind: &'static Kind) {
    let repository = Repository::new(kind);
    let world = repository.world();
    let release = world.released();
    assert_eq!(
        (world.layer_of("filesystem").as_str(), world.layer_of("busybox").as_str()),
        ("bootstrap", "bootstrap")
    );
    assert_eq!((world.layer_of(kind.kernel).as_str(), world.layer_of("hello").as_str()), ("kernel", "utils"));
    let lock = fs::read_to_string(world.dir.join("specs/tiny.lock.yaml")).unwrap();
    assert!(
        lock.contains("1:1-1") && lock.contains(&format!("{}/busybox-1-1.x86_64.rpm", kind.path)),
        "{lock}"
    );
    assert_eq!(world.root_file(&release, "usr/share/hello/hi").unwrap(), b"hi\n");
    // The script of a package ran, in a network with nothing in it.
    assert!(world.root_file(&release, "var/lib/script-ran").is_some());
    let names = world.names(&release);
    assert!(names.iter().any(|name| name == "usr/lib/sysimage/rpm/rpmdb.sqlite"));
    for name in &names {
        let name = name.trim_end_matches('/');
        let own = name.contains("rpmdb.sqlite-") || name.contains(".rpm.lock") || name.contains("var/cache/");
        let build = name.starts_with("run/") || name.starts_with("var/log/dnf") || name.contains("gpg");
        assert!(!own && !build, "{name} is in the image");
    }
    // Another folder, another time: the same bytes.
    let other = repository.world();
    same_bytes(&release, &other.released());
}

#[test]
fn fedora_is_installed_and_the_same_twice() {
    is_installed_and_the_same_twice(&FEDORA);
}

#[test]
fn opensuse_is_installed_and_the_same_twice() {
    is_installed_and_the_same_twice(&OPENSUSE);
}

fn indexes_are_refused(kind: &'static Kind) {
    let untrusted = "is not signed by a key of the mirror's keyring, or was changed";
    let repository = Repository::new(kind);
    // Each time another catalog: what a solver has already, and knows to be signed, it keeps.
    let refused = |case: &str, mirrors: &str, words: &str| {
        let world = repository.world();
        world.settings(mirrors);
        let said = world.refused();
        assert!(said.contains(words) && said.contains("suggestion"), "{case}: {said}");
    };
    let locks = || {
        let done = repository.world().run(&["lock", "--update", "tiny"]);
        assert!(done.status.success(), "{}", super::words(&done));
    };
    let sound = repository.mirrors();
    let stranger = Gpg::new(&repository.dir, "stranger");
    stranger.export(&repository.dir.join("stranger.gpg"));
    refused("another key", &repository.mirrors_with(&repository.dir.join("stranger.gpg")), untrusted);
    put(&repository.dir, "empty.gpg", "", 0o644);
    refused("no key", &repository.mirrors_with(&repository.dir.join("empty.gpg")), "has no OpenPGP key");

    let head = repository.metadata("repomd.xml");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, text.replace("<revision>", "<revision>9")).unwrap();
    refused("a changed index", &sound, untrusted);
    fs::write(&head, &text).unwrap();
    fs::remove_file(repository.metadata("repomd.xml.asc")).unwrap();
    refused("an unsigned index", &sound, untrusted);
    must(stranger.gpg().args(["--yes", "--detach-sign", "--armor"]).arg(&head));
    refused("signed by a stranger", &sound, untrusted);
    repository.sign();
    locks();

    // The list of packages is changed, and what is signed says another digest.
    let list = repository.metadata("primary.xml.gz");
    let mut bytes = fs::read(&list).unwrap();
    bytes.push(0);
    fs::write(&list, bytes).unwrap();
    refused("a changed list", &sound, untrusted);
    fs::remove_dir_all(repository.files().join("repodata")).unwrap();
    let said = repository.world().refused();
    assert!(said.contains("cannot be had") || said.contains("not in the cache"), "{said}");
}

#[test]
fn fedora_indexes_that_are_refused() {
    indexes_are_refused(&FEDORA);
}

#[test]
fn opensuse_indexes_that_are_refused() {
    indexes_are_refused(&OPENSUSE);
}

/// As Fedora's public mirrors are: the word of the mirror counts for what there is, and for
/// nothing else.
#[test]
fn fedora_without_signed_metadata_has_signed_packages() {
    let repository = Repository::new(&FEDORA);
    repository.package("bare", About { unsigned: true, ..About::default() }, |_| {});
    repository.index();
    fs::remove_file(repository.metadata("repomd.xml.asc")).unwrap();
    let unsigned = repository.mirrors().replace("keyring:", "unsignedIndexes: true, keyring:");
    let world = repository.world();
    world.settings(&unsigned);
    world.released();
    let world = repository.world_with("[bare]");
    world.settings(&unsigned);
    let said = world.not_built();
    assert!(said.contains("not signed by a key of the mirrors' keyrings") && said.contains("bare"), "{said}");
    // openSUSE signs its metadata.
    let world = Repository::new(&OPENSUSE).world();
    world.settings(&unsigned.replace("base: fedora", "base: opensuse"));
    let said = world.refused();
    assert!(said.contains("always signed"), "{said}");
}

fn packages_are_refused(kind: &'static Kind) {
    let repository = Repository::new(kind);
    repository.package("broken", About { tags: &["Requires: nowhere >= 2"], ..About::default() }, |_| {});
    repository.package("rival", About { tags: &["Conflicts: hello"], ..About::default() }, |_| {});
    repository.package("bare", About { unsigned: true, ..About::default() }, |_| {});
    repository.index();
    for (packages, words, name) in [
        ("[hello, nowhere-to-be-found]", "is not in the configured repositories", "nowhere-to-be-found"),
        ("[broken]", "cannot be installed together", "nowhere >= 2"),
        ("[hello, rival]", "cannot be installed together", "rival"),
    ] {
        let said = repository.world_with(packages).refused();
        assert!(
            said.contains(words) && said.contains(name) && said.contains("suggestion"),
            "{packages}: {said}"
        );
    }
    let said = repository.world_with("[bare]").not_built();
    assert!(said.contains("not signed by a key of the mirrors' keyrings") && said.contains("bare"), "{said}");

    // Other bytes than were locked.
    let world = repository.world();
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", super::words(&done));
    world.commit();
    let mut bytes = fs::read(repository.file("hello")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(repository.file("hello"), bytes).unwrap();
    let done = world.run(&["reconcile"]);
    let said = super::words(&done);
    assert!(!done.status.success() && said.contains("wrong bytes"), "{said}");
}

#[test]
fn fedora_packages_that_are_refused() {
    packages_are_refused(&FEDORA);
}

#[test]
fn opensuse_packages_that_are_refused() {
    packages_are_refused(&OPENSUSE);
}
