//! A folder laid out as OpenWrt's server lays out its files, and catalogs that name it.
//!
//! Real in it: the layout and the names; tar, zstd, xz; SHA-256, OpenPGP and usign signatures;
//! the Makefile, which `make` runs, with the real one's targets, variables and messages; package
//! files and a squashfs for each image. What installs packages is a script in the words of opkg
//! and apk, and images have no kernel (those of `bootable` do).

use crate::crash::command;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bootwright::effects::{Cancel, Process};
use bootwright::model::Digest;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The Makefile of the small Image Builder.
const MAKEFILE: &str = include_str!("builder.mk");

/// How large an image may be, in bytes.
const IMAGE_LIMIT: u64 = 1_000_000;

/// Release, target with subtarget, and the end of the archive's name.
pub const RELEASES: [(&str, &str, &str); 6] = [
    ("24.10.5", "x86/64", "zst"),
    ("24.10.4", "x86/64", "zst"),
    ("24.10.5", "ramips/mt7621", "zst"),
    ("24.10.4", "ramips/mt7621", "zst"),
    ("23.05.5", "x86/64", "xz"),
    ("snapshot", "x86/64", "zst"),
];

/// A usign key that is made of a number.
pub struct Usign {
    secret: SigningKey,
    id: [u8; 8],
}

impl Usign {
    pub fn new(number: u8) -> Self {
        Self { secret: SigningKey::from_bytes(&[number; 32]), id: [number; 8] }
    }

    fn text(&self, fields: &[u8], comment: &str) -> String {
        format!("untrusted comment: {comment}\n{}\n", STANDARD.encode([b"Ed", &self.id[..], fields].concat()))
    }

    pub fn public(&self) -> String {
        self.text(self.secret.verifying_key().as_bytes(), "public key")
    }

    pub fn sign(&self, list: &[u8]) -> String {
        self.text(&self.secret.sign(list).to_bytes(), "signed by key")
    }
}

/// A server's files, and a catalog.
pub struct World {
    temporary: tempfile::TempDir,
    pub key: Usign,
}

/// A server with every release of [`RELEASES`], signed, and a catalog that trusts the key: made
/// once, and copied for each world.
fn template() -> &'static Path {
    static MADE: OnceLock<World> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let world = World::empty();
        for (release, platform, end) in RELEASES {
            world.release(release, platform, end);
        }
        let versions = r#"{"stable_version":"24.10.5","oldstable_version":"23.05.5",
            "versions_list":["24.10.5","24.10.4","24.10.0-rc7","23.05.5"]}"#;
        fs::write(world.server().join(".versions.json"), versions).unwrap();
        let targets = r#"{"x86/64":"x86_64","ramips/mt7621":"mipsel_24kc"}"#;
        fs::write(world.server().join("releases/24.10.5/.targets.json"), targets).unwrap();
        fs::create_dir_all(world.catalog().join("keys")).unwrap();
        fs::write(world.catalog().join("keys/openwrt.pub"), world.key.public()).unwrap();
        world
    });
    made.path()
}

impl World {
    fn empty() -> Self {
        let temporary = tempfile::Builder::new().prefix("wrt").tempdir().unwrap();
        Self { temporary, key: Usign::new(7) }
    }

    /// A server of its own, and a catalog that reads its folder.
    pub fn new() -> Self {
        let world = Self::empty();
        let copy = Process::new("cp")
            .args(["-a", "--"])
            .args([template().join("server"), template().join("catalog")]);
        copy.arg(world.path()).check(&Cancel::default()).unwrap();
        world.settings(&[&world.folder_url()], "keys: [keys/openwrt.pub]");
        world
    }

    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    pub fn server(&self) -> PathBuf {
        self.path().join("server")
    }

    pub fn catalog(&self) -> PathBuf {
        self.path().join("catalog")
    }

    pub fn cache(&self) -> PathBuf {
        self.catalog().join(".bootwright")
    }

    pub fn folder_url(&self) -> String {
        format!("file://{}", self.server().display())
    }

    /// Writes the settings: servers and what else stands in `openwrt`.
    pub fn settings(&self, urls: &[&str], more: &str) {
        self.write_settings(&format!("openwrt: {{urls: [{}], {more}}}\n", urls.join(", ")));
    }

    pub fn write_settings(&self, more: &str) {
        let text = format!("apiVersion: bootwright/v1\nkind: Settings\n{more}");
        fs::write(self.catalog().join("bootwright.yaml"), text).unwrap();
    }

    /// Where a release's files for a target are.
    pub fn folder(&self, release: &str, platform: &str) -> PathBuf {
        let above = match release {
            "snapshot" => "snapshots".to_owned(),
            release => format!("releases/{release}"),
        };
        self.server().join(above).join("targets").join(platform)
    }

    /// The archive of a release.
    pub fn archive(&self, release: &str, platform: &str, end: &str) -> PathBuf {
        self.folder(release, platform).join(format!("{}.tar.{end}", stem(release, platform)))
    }

    /// Makes an Image Builder and everything beside it.
    pub fn release(&self, release: &str, platform: &str, end: &str) {
        let work = self.path().join("make");
        let tree = work.join(stem(release, platform));
        for folder in ["staging_dir/host/bin", "packages", "scripts", "target/linux"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        let (devices, version) = match release {
            "snapshot" => (devices(platform), String::new()),
            release => (devices(platform), format!("{release}-")),
        };
        for (path, text, mode) in [
            ("Makefile", MAKEFILE, 0o644),
            ("scripts/package.sh", include_str!("package.sh"), 0o755),
            ("scripts/image.sh", include_str!("image.sh"), 0o755),
            ("scripts/update.sh", include_str!("update.sh"), 0o755),
        ] {
            // Up to 24.10 it is opkg that installs, later apk.
            let family = if release == "snapshot" { "apk" } else { "opkg" };
            let text = text
                .replace("@TARGET@", platform)
                .replace("@NAME@", &platform.replace('/', "-"))
                .replace("@RELEASE@", release)
                .replace("@VERSION@", &version)
                .replace("@PROFILES@", &devices.join(" "))
                .replace("@FAMILY@", family)
                .replace("@LIMIT@", &IMAGE_LIMIT.to_string());
            fs::write(tree.join(path), text).unwrap();
            fs::set_permissions(tree.join(path), PermissionsExt::from_mode(mode)).unwrap();
        }
        fs::write(tree.join("version.date"), "1750000000\n").unwrap();
        fs::write(tree.join("repositories.conf"), "## Remote package repositories\n").unwrap();
        copy(&packages().join("."), &tree.join("packages"));
        fs::write(tree.join("packages/Packages"), format!("{release} {platform}\n")).unwrap();
        fs::write(tree.join("scripts/getver.sh"), "#!/bin/sh\necho r28739-d9340319c6\n").unwrap();
        fs::set_permissions(tree.join("scripts/getver.sh"), PermissionsExt::from_mode(0o755)).unwrap();
        fs::set_permissions(tree.join("target/linux"), PermissionsExt::from_mode(0o750)).unwrap();
        // As in real archives: a bundled program's other name, and a tool of who made them.
        fs::write(tree.join("staging_dir/host/bin/mkhash"), vec![b'x'; 300_000]).unwrap();
        symlink("mkhash", tree.join("staging_dir/host/bin/md5sum")).unwrap();
        symlink("/usr/bin/python3", tree.join("staging_dir/host/bin/python3")).unwrap();
        fs::hard_link(tree.join("scripts/getver.sh"), tree.join("scripts/version.sh")).unwrap();
        // What a download has to take several parts for.
        let noise: Vec<u8> =
            (0..16_000_u32).flat_map(|n| Digest::of(n.to_le_bytes()).as_bytes().to_owned()).collect();
        fs::write(tree.join("packages/kernel.bin"), noise).unwrap();
        let to = self.archive(release, platform, end);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        pack(&work, &stem(release, platform), &to);
        fs::write(to.with_file_name("config.buildinfo"), "CONFIG_TARGET_x86=y\n").unwrap();
        fs::write(to.with_file_name("profiles.json"), profiles_json(release, platform)).unwrap();
        fs::remove_dir_all(&work).unwrap();
        self.sign(release, platform);
    }

    /// Writes `sha256sums` of what is there and signs it.
    pub fn sign(&self, release: &str, platform: &str) {
        let list = self.list(release, platform);
        let folder = self.folder(release, platform);
        fs::write(folder.join("sha256sums.sig"), self.key.sign(list.as_bytes())).unwrap();
    }

    /// Writes `sha256sums` of what is there.
    pub fn list(&self, release: &str, platform: &str) -> String {
        let folder = self.folder(release, platform);
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("sha256sums"))
            .collect();
        names.sort();
        let line =
            |name: &String| format!("{} *{name}\n", Digest::of(fs::read(folder.join(name)).unwrap()).hex());
        let list: String = names.iter().map(line).collect();
        fs::write(folder.join("sha256sums"), &list).unwrap();
        list
    }

    /// The real program, in this catalog.
    pub fn bootwright(&self, args: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
        command.current_dir(self.catalog()).args(["--output", "json"]).args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        Said(self.bootwright(args).output().unwrap())
    }

    pub fn ensure(&self, release: &str, platform: &str) -> Said {
        self.run(&["openwrt", "builder", "ensure", release, platform])
    }

    /// Names below the cache's folders of work, and parts and archives of downloads.
    pub fn leftovers(&self) -> Vec<String> {
        let folders = [self.cache().join("work"), self.cache().join("packages")];
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// What the program said.
pub struct Said(pub Output);

impl Said {
    pub fn report(&self) -> Value {
        assert!(self.0.status.success(), "{}", words(&self.0));
        serde_json::from_slice(&self.0.stdout).unwrap()
    }

    /// The error that it ended with.
    pub fn error(&self) -> Value {
        assert!(!self.0.status.success(), "{}", words(&self.0));
        let said: Value = serde_json::from_slice(&self.0.stdout).unwrap();
        said["error"].clone()
    }

    /// How often a task of this name began.
    pub fn tasks(&self, begins: &str) -> usize {
        let text = String::from_utf8_lossy(&self.0.stderr);
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let started = events.filter(|event| event["event"] == "task-started");
        started.filter(|event| event["label"].as_str().is_some_and(|label| label.starts_with(begins))).count()
    }

    pub fn words(&self) -> String {
        words(&self.0)
    }
}

/// The devices of a target.
fn devices(platform: &str) -> Vec<&'static str> {
    match platform {
        "x86/64" | "armsr/armv8" => vec!["generic"],
        _ => vec!["netgear_r6220", "netgear_r6260", "tplink_re650-v1"],
    }
}

/// The packages of all Image Builders, made once.
fn packages() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        super::packages::write(folder.path());
        folder
    });
    made.path()
}

fn copy(from: &Path, to: &Path) {
    Process::new("cp").args(["-a", "--"]).arg(from).arg(to).check(&Cancel::default()).unwrap();
}

/// What a release says of a target's devices, in the form of the real file.
fn profiles_json(release: &str, platform: &str) -> String {
    let device = |vendor: &str, model: &str, board: &str| {
        json!({
            "image_prefix": format!("openwrt-{release}-{}", platform.replace('/', "-")),
            "images": [],
            "device_packages": ["kmod-usb3"],
            "supported_devices": [board],
            "titles": [{"vendor": vendor, "model": model}],
            "file_size_limits": {"image": IMAGE_LIMIT},
        })
    };
    let profiles = match platform {
        "x86/64" | "armsr/armv8" => {
            json!({"generic": {"image_prefix": "p", "images": [], "device_packages": [],
            "supported_devices": [], "titles": [{"title": "Generic"}]}})
        }
        _ => json!({
            "netgear_r6220": device("NETGEAR", "R6220", "netgear,r6220"),
            "netgear_r6260": device("NETGEAR", "R6260", "netgear,r6260"),
            "tplink_re650-v1": device("TP-Link", "RE650", "tplink,re650-v1"),
        }),
    };
    let all = json!({
        "metadata_version": 1,
        "target": platform,
        "version_number": release,
        "version_code": "r28739-d9340319c6",
        "source_date_epoch": 1_750_000_000,
        "arch_packages": "x86_64",
        "default_packages": ["base-files", "busybox", "dropbear"],
        "linux_kernel": {"version": "6.6.93", "release": "1", "vermagic": "c3ed2dd4ca7bd8a9"},
        "profiles": profiles,
    });
    all.to_string()
}

/// The archive's name without its end.
fn stem(release: &str, platform: &str) -> String {
    let version = if release == "snapshot" { String::new() } else { format!("{release}-") };
    format!("openwrt-imagebuilder-{version}{}.Linux-x86_64", platform.replace('/', "-"))
}

/// Packs a folder with the host's tar, as the real archives are.
pub fn pack(above: &Path, name: &str, to: &Path) {
    let how = if to.extension().is_some_and(|end| end == "xz") { "--xz" } else { "--zstd" };
    let tar =
        Process::new("tar").arg(how).args(["--owner=1000", "--group=1000", "--mtime=@1750000000", "-cf"]);
    tar.arg(to).arg("-C").arg(above).arg(name).check(&Cancel::default()).unwrap();
}

fn words(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}
