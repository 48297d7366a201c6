//! Small packages in OpenWrt's form (.ipk: a tar of tars), and an index of them.

use bootwright::effects::{Cancel, Process};
use bootwright::model::Digest;
use std::fs;
use std::path::Path;

/// Name, version, dependencies, conflicts, the files, and the script that runs when it is
/// installed. A dot stands for none.
type Package =
    (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], &'static str);

const PACKAGES: [Package; 18] = [
    ("base-files", "1637~d9340319c6", ".", ".", &["etc/openwrt_release", "etc/passwd"], ""),
    ("busybox", "1.36.1-r2", ".", ".", &["bin/busybox"], ""),
    ("dropbear", "2024.86-r1", "busybox", ".", &["etc/init.d/dropbear", "etc/rc.d/S19dropbear"], ""),
    ("kernel", "6.6.93~c3ed2dd4ca7bd8a9-r1", ".", ".", &["lib/modules/builtin"], ""),
    ("kmod-usb3", "6.6.93-r1", "kernel", ".", &["lib/modules/xhci.ko"], ""),
    ("luci", "25.1", "luci-base", ".", &["www/index.html"], ""),
    ("luci-base", "25.1", ".", ".", &["usr/lib/lua/luci.lua"], ""),
    ("tmux", "3.4-r1", "libncurses6", ".", &["usr/bin/tmux"], ""),
    ("libncurses6", "6.4-r2", ".", ".", &["usr/lib/libncurses.so.6"], ""),
    ("ppp", "2.5.1-r1", ".", ".", &["usr/sbin/pppd"], ""),
    ("odhcpd", "2024.05.08-r1", ".", ".", &["etc/init.d/odhcpd", "etc/rc.d/S35odhcpd"], ""),
    ("broken", "1.0-r1", "libmissing", ".", &["usr/bin/broken"], ""),
    ("enemy", "1.0-r1", "busybox", "busybox", &["usr/bin/enemy"], ""),
    ("clash", "1.0-r1", "busybox", ".", &["bin/busybox"], ""),
    ("badscript", "1.0-r1", ".", ".", &["usr/bin/badscript"], "exit 3\n"),
    // What takes its time, so that a test can meet it at work.
    ("slow", "1.0-r1", ".", ".", &["usr/bin/slow"], "sleep 1\n"),
    ("damaged", "1.0-r1", ".", ".", &["usr/bin/damaged"], ""),
    ("big", "1.0-r1", ".", ".", &["usr/bin/big"], ""),
];

/// Writes all packages and their index.
pub fn write(to: &Path) {
    let mut index = String::new();
    for (name, version, dependencies, conflicts, files, script) in PACKAGES {
        let mut sha256 = write_one(to, Kept { name, version, script }, |data| {
            for path in files {
                let path = data.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let bytes = if name == "big" { noise() } else { format!("{name} {version}\n").into_bytes() };
                fs::write(path, bytes).unwrap();
            }
        });
        if name == "damaged" {
            sha256 = "0".repeat(64);
        }
        index.push_str(&format!("{name} {version} {sha256} {dependencies} {conflicts}\n"));
    }
    fs::write(to.join("index"), index).unwrap();
}

/// What a package says of itself.
pub struct Kept<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// What runs when it is installed; empty for nothing.
    pub script: &'a str,
}

/// Writes one package with the files that `fill` puts into its root; its SHA-256.
pub fn write_one(to: &Path, package: Kept<'_>, fill: impl FnOnce(&Path)) -> String {
    let Kept { name, version, script } = package;
    let top = tempfile::tempdir().unwrap();
    let (data, control) = (top.path().join("data"), top.path().join("control"));
    fs::create_dir_all(&data).unwrap();
    fill(&data);
    fs::create_dir_all(&control).unwrap();
    fs::write(control.join("control"), format!("Package: {name}\nVersion: {version}\n")).unwrap();
    if !script.is_empty() {
        fs::write(control.join("postinst"), script).unwrap();
    }
    fs::write(top.path().join("debian-binary"), "2.0\n").unwrap();
    tar(&top.path().join("data.tar.gz"), &data);
    tar(&top.path().join("control.tar.gz"), &control);
    for folder in [&data, &control] {
        fs::remove_dir_all(folder).unwrap();
    }
    let file = to.join(format!("{name}_{version}.ipk"));
    tar(&file, top.path());
    Digest::of(fs::read(&file).unwrap()).hex()
}

fn tar(to: &Path, folder: &Path) {
    let tar = Process::new("tar").args([
        "--owner=0",
        "--group=0",
        "--mtime=@1750000000",
        "--mode=u+rwX,go+rX,go-w",
    ]);
    let tar = tar.args(["--sort=name", "--gzip", "-cf"]).arg(to).arg("-C").arg(folder);
    tar.arg(".").check(&Cancel::default()).unwrap();
}

/// More than fits on the devices of the tests, and cannot be compressed.
fn noise() -> Vec<u8> {
    (0..60_000_u32).flat_map(|n| Digest::of(n.to_be_bytes()).as_bytes().to_owned()).collect()
}
