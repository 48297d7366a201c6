//! The distributions' own package managers, on repositories small enough to be made here:
//! signed, served from a folder, and installed through the whole program.

pub mod apk;
mod containers;
mod emerge;
mod hyprland;
mod live;
mod mirrors;
mod ninth;
pub mod pacman;
pub mod rpm;
mod ubuntu;
mod xbps;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[expect(clippy::disallowed_methods, reason = "tests start programs as a user does")]
pub fn command(program: &str) -> Command {
    Command::new(program)
}

pub fn words(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a program that has to succeed; gives its stdout.
pub fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", words(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a file of a package's tree.
pub fn put(tree: &Path, path: &str, text: impl AsRef<[u8]>, mode: u32) {
    let path = tree.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Names of busybox that package scripts and the build need.
const BUSYBOX: [&str; 23] = [
    "sh", "bash", "cat", "ls", "echo", "mkdir", "rm", "ln", "cp", "mv", "chmod", "chown", "true", "false",
    "id", "sed", "grep", "tar", "test", "gzip", "env", "chpasswd", "touch",
];

/// The smallest root: merged-usr folders and links, passwd, group, os-release.
pub fn base_tree(tree: &Path, id: &str) {
    for folder in ["etc", "usr/bin", "usr/lib", "usr/sbin", "var/lib", "root", "home", "var/tmp", "tmp"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for folder in ["tmp", "var/tmp"] {
        fs::set_permissions(tree.join(folder), PermissionsExt::from_mode(0o1777)).unwrap();
    }
    for (link, to) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib")] {
        symlink(to, tree.join(link)).unwrap();
    }
    put(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644);
    put(tree, "etc/group", "root:x:0:\n", 0o644);
    put(tree, "usr/lib/os-release", format!("NAME={id}\nID={id}\nVERSION_ID=1\n"), 0o644);
    symlink("../usr/lib/os-release", tree.join("etc/os-release")).unwrap();
}

/// busybox under its names, and commands of the configuration that have nothing to do here.
pub fn busybox_tree(tree: &Path) {
    put(tree, "usr/bin/busybox", fs::read("/bin/busybox").expect("busybox-static is installed"), 0o755);
    for name in BUSYBOX {
        symlink("busybox", tree.join("usr/bin").join(name)).unwrap();
    }
    for name in ["usr/sbin/usermod", "usr/sbin/useradd", "usr/bin/systemctl"] {
        put(tree, name, "#!/bin/sh\nexit 0\n", 0o755);
    }
}

/// Programs of this host with the libraries that they need.
pub fn programs(tree: &Path, programs: &[&str]) {
    for program in programs {
        let found = must(command("ldd").arg(program));
        let libraries = found.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([*program]) {
            let place = if file.starts_with("/usr/") { file.to_owned() } else { format!("/usr{file}") };
            // The loader is looked for in `/lib64`, which is `usr/lib` here.
            let place = place.replace("/lib64/", "/lib/");
            put(tree, &place[1..], fs::read(file).unwrap(), 0o755);
        }
    }
}

/// What OpenRC's package brings: its own program, and a runlevel for it to write into.
pub fn openrc_tree(tree: &Path) {
    programs(tree, &["/sbin/rc-update"]);
    put(tree, "etc/runlevels/default/.keep", "", 0o644);
}

/// A service of our own, for [`openrc_starts`] to find.
pub const WITH_ZRAM: &str = "  filesystem: {swap: {kind: zram, size: 64MiB}}\n";

/// Where what [`WITH_ZRAM`] asks for lies if OpenRC starts it, and the probe with it.
pub fn openrc_starts(world: &World, release: &Path) {
    let script = world.root_file(release, "etc/init.d/bootwright-zram").unwrap();
    assert!(script.starts_with(b"#!/sbin/openrc-run\n"), "{}", String::from_utf8_lossy(&script));
    let names = world.names(release);
    for path in ["etc/runlevels/default/bootwright-zram", "etc/runlevels/default/bootwright-probe"] {
        assert!(names.iter().any(|name| name == path), "{path}: {names:?}");
    }
    let probe = world.root_file(release, "usr/lib/bootwright/init").unwrap();
    assert!(String::from_utf8_lossy(&probe).contains("/run/openrc"));
    assert!(!names.iter().any(|name| name.contains("systemd/system/bootwright")), "{names:?}");
}

/// A signing key that nothing but a test trusts.
pub struct Gpg {
    pub home: PathBuf,
    pub fingerprint: String,
}

impl Gpg {
    pub fn new(dir: &Path, name: &str) -> Self {
        Self::of(dir, name, &format!("{name}@example.invalid"))
    }

    /// The same with the address of its owner.
    pub fn of(dir: &Path, name: &str, mail: &str) -> Self {
        let home = dir.join(name);
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
        let mut gpg = Self { home, fingerprint: String::new() };
        must(gpg.gpg().args(["--passphrase", "", "--quick-generate-key", mail, "rsa3072", "sign", "never"]));
        let listed = must(gpg.gpg().args(["--with-colons", "--list-keys"]));
        let fingerprint = listed.lines().find_map(|l| l.strip_prefix("fpr:::::::::")).unwrap();
        gpg.fingerprint = fingerprint.trim_end_matches(':').to_owned();
        gpg
    }

    pub fn gpg(&self) -> Command {
        let mut command = command("gpg");
        command.arg("--homedir").arg(&self.home).args(["--batch", "--quiet", "--pinentry-mode", "loopback"]);
        command
    }

    /// Writes the public key.
    pub fn export(&self, to: &Path) {
        must(self.gpg().arg("--yes").arg("--output").arg(to).arg("--export"));
    }

    /// Signs a file: `FILE.sig` beside it.
    pub fn sign(&self, file: &Path) {
        must(self.gpg().args(["--yes", "--detach-sign", "--no-armor"]).arg(file));
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = command("gpgconf").arg("--homedir").arg(&self.home).args(["--kill", "all"]).output();
    }
}

/// A catalog with one image, `tiny`.
pub struct World {
    pub dir: PathBuf,
    program: PathBuf,
    _temporary: tempfile::TempDir,
}

impl World {
    pub fn new(spec: &str, mirrors: &str) -> Self {
        Self::made_by(Path::new(env!("CARGO_BIN_EXE_bootwright")), spec, mirrors)
    }

    /// The same by another program than the one under test.
    pub fn made_by(program: &Path, spec: &str, mirrors: &str) -> Self {
        let temporary = tempfile::Builder::new().prefix("managers").tempdir_in("/var/tmp").unwrap();
        let dir = temporary.path().join("catalog");
        let program = program.to_owned();
        must(command(program.to_str().unwrap()).current_dir(temporary.path()).args(["init", "catalog"]));
        fs::remove_file(dir.join("specs/hello.yaml")).unwrap();
        let world = Self { dir, program, _temporary: temporary };
        world.settings(mirrors);
        put(&world.dir, "specs/tiny.yaml", spec, 0o644);
        world.commit();
        world
    }

    pub fn settings(&self, mirrors: &str) {
        let text = format!(
            "apiVersion: bootwright/v1\nkind: Settings\nsigning: {{key: keys/bootwright.key}}\n\
             build: {{compression: fast, minFreeSpace: 1KiB}}\nmirrors:\n{mirrors}"
        );
        put(&self.dir, "bootwright.yaml", text, 0o644);
    }

    pub fn commit(&self) {
        for args in [&["add", "--all"][..], &["commit", "--quiet", "--message", "A change"]] {
            must(
                command("git")
                    .current_dir(&self.dir)
                    .args([
                        "-c",
                        "user.name=t",
                        "-c",
                        "user.email=t@example.invalid",
                        "-c",
                        "commit.gpgsign=false",
                    ])
                    .args(args),
            );
        }
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = command(self.program.to_str().unwrap());
        command.current_dir(&self.dir).args(["--output", "json"]).args(args);
        command.env_remove("BOOTWRIGHT_KEY_PASSPHRASE").output().unwrap()
    }

    /// Locks, builds, verifies and publishes; gives the folder of the release.
    pub fn released(&self) -> PathBuf {
        let done = self.run(&["lock", "--update", "tiny"]);
        assert!(done.status.success(), "{}", words(&done));
        self.commit();
        let done = self.run(&["reconcile"]);
        assert!(done.status.success(), "{}", words(&done));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let version =
            report["published"][0]["version"].as_str().unwrap_or_else(|| panic!("{}", words(&done)));
        self.dir.join("releases/tiny").join(version)
    }

    /// Locks, then does not build; what it says.
    pub fn not_built(&self) -> String {
        let done = self.run(&["lock", "--update", "tiny"]);
        assert!(done.status.success(), "{}", words(&done));
        self.commit();
        let done = self.run(&["reconcile"]);
        assert!(!done.status.success(), "built: {}", words(&done));
        words(&done)
    }

    /// The words of a lock that has to fail.
    pub fn refused(&self) -> String {
        let done = self.run(&["lock", "--update", "tiny"]);
        assert!(!done.status.success(), "locked: {}", words(&done));
        words(&done)
    }

    /// The packages of the lock: name and layer.
    pub fn locked(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.dir.join("specs/tiny.lock.yaml")).unwrap();
        let field = |line: &str, name: &str| {
            let rest = line.split(&format!("{name}: ")).nth(1)?;
            Some(rest.split([',', '}']).next()?.trim_matches('"').to_owned())
        };
        let packages = text.lines().filter(|l| l.contains("sha256:") && l.contains("layer:"));
        packages.filter_map(|l| Some((field(l, "name")?, field(l, "layer")?))).collect()
    }

    /// The one layer of the lock that a package is in.
    pub fn layer_of(&self, name: &str) -> String {
        let mut found = self.locked().into_iter().filter(|(other, _)| other == name);
        let (_, layer) = found.next().unwrap_or_else(|| panic!("{name} is in no layer"));
        assert_eq!(found.next(), None, "{name} is in {layer} too");
        layer
    }

    /// What a file of the root filesystem archive says.
    pub fn root_file(&self, release: &Path, path: &str) -> Option<Vec<u8>> {
        let mut found = None;
        self.each(release, |name, bytes| {
            if name == path {
                found = Some(bytes.to_vec());
            }
        });
        found
    }

    /// The names of the root filesystem archive.
    pub fn names(&self, release: &Path) -> Vec<String> {
        let mut names = Vec::new();
        self.each(release, |name, _| names.push(name.to_owned()));
        names
    }

    fn each(&self, release: &Path, mut look: impl FnMut(&str, &[u8])) {
        let file = find(release, ".rootfs.tar.zst");
        let mut archive = tar::Archive::new(zstd::Decoder::new(fs::File::open(file).unwrap()).unwrap());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            look(&name, &bytes);
        }
    }
}

/// Two releases of one spec, made in other folders at other times, have the same images.
pub fn same_bytes(one: &Path, other: &Path) {
    for suffix in [".rootfs.tar.zst", ".oci.tar"] {
        let read = |release: &Path| fs::read(find(release, suffix)).unwrap();
        assert!(read(one) == read(other), "{suffix} differs");
    }
}

/// The file of a release with this ending.
pub fn find(release: &Path, suffix: &str) -> PathBuf {
    let mut found = fs::read_dir(release).unwrap().map(|e| e.unwrap().path());
    let found = found.find(|p| p.to_string_lossy().ends_with(suffix));
    found.unwrap_or_else(|| panic!("{} has no {suffix}", release.display()))
}
