//! What the installer is told about a disk: Calamares of each suite is started in a built root,
//! from the settings that its spec becomes, on a screen that is not there.

use super::sessions::built;
use super::{command, machine};
use bootwright::configure::{self, File, FileContent, System};
use bootwright::model::spec::{Base, OsImage};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// What a spec says of the disk, and what Calamares says of that.
type Case = (&'static str, &'static [&'static str]);

const PARTITION: &str = "ViewModule \"partition@partition\" loading complete.";
const KEY: &str = "CppJobModule \"luksbootkeyfile@luksbootkeyfile\" loading complete.";

/// Debian bookworm has Calamares 3.2, trixie 3.3.
const SUITES: [(&str, &[Case]); 2] = [
    (
        "bookworm",
        &[
            (
                r#"{"root": "btrfs", "encryption": "luks1", "swap": {"kind": "partition", "size": "1GiB"}}"#,
                &[PARTITION, KEY],
            ),
            (
                r#"{"root": "zfs", "compression": true}"#,
                &[PARTITION, "CppJobModule \"zfs@zfs\" loading complete."],
            ),
        ],
    ),
    (
        "trixie",
        &[(
            r#"{"root": "xfs", "encryption": "luks2", "partitions": [{"mount": "/boot", "size": "1GiB"},
                {"mount": "/", "size": "rest", "encrypted": true}]}"#,
            &[PARTITION, KEY],
        )],
    ),
];

/// A root with Calamares, and a screen for it.
fn root(suite: &str) -> PathBuf {
    let spec = json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "desktop"},
        "spec": {
            "base": "debian", "suite": suite, "architecture": "x86_64", "outputs": ["rootfs"], "channel": "edge",
            "packages": {"extra": ["calamares", "xvfb"]}, "defaults": {"users": [{"name": "live", "sudo": true}]},
        },
    });
    built(&format!("installer-{suite}"), &spec.to_string())
}

fn spec(suite: &str, filesystem: &str) -> Value {
    json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "desktop"},
        "spec": {
            "base": "debian", "suite": suite, "architecture": "x86_64", "outputs": ["iso"], "channel": "edge",
            "display": {"server": "xorg", "compositor": "i3", "terminal": "xterm"},
            "defaults": {"users": [{"name": "live"}]}, "installer": {},
            "filesystem": serde_json::from_str::<Value>(filesystem).unwrap(),
        },
    })
}

/// What the live medium alone would have of it.
fn live_files(spec: &Value) -> Vec<File> {
    let image: OsImage = serde_json::from_value(spec.clone()).unwrap();
    let configuration = configure::configuration(&image.metadata.name, &image.spec).unwrap();
    let plan = configure::plan(&System {
        configuration: &configuration,
        base: Base::DEBIAN,
        suite: image.spec.suite.as_str(),
        architecture: image.spec.architecture,
        packages: [].into(),
        outputs: &image.spec.outputs,
    });
    plan.live.files.into_iter().filter(|file| file.path.starts_with("etc/calamares/")).collect()
}

/// Runs as root in the root, with an empty folder at /mnt.
const SCRIPT: &str = r#"
mkdir -m 1777 /tmp/.X11-unix; mkdir -m 0700 /tmp/run
export HOME=/tmp XDG_RUNTIME_DIR=/tmp/run DISPLAY=:9
Xvfb :9 -screen 0 1024x768x24 -noreset -nolisten tcp 2>/dev/null &
until [ -S /tmp/.X11-unix/X9 ]; do sleep 1; done
timeout 40 dbus-run-session -- calamares -D8 >/mnt/words 2>&1
[ $? = 124 ] # It stays until it is stopped.
"#;

fn said(root: &Path) -> String {
    let out = root.with_extension("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    let mut bwrap = command("bwrap");
    bwrap
        .arg("--bind")
        .arg(root)
        .args(["/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    bwrap.arg("--bind").arg(&out).arg("/mnt");
    bwrap.args(["--unshare-pid", "--unshare-net", "--unshare-ipc", "--die-with-parent", "--clearenv"]);
    bwrap.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", "--setenv", "LANG", "C.UTF-8"]);
    let status = bwrap.args(["sh", "-c", SCRIPT]).status().unwrap();
    let words = fs::read_to_string(out.join("words")).unwrap_or_default();
    assert!(status.success(), "{status}: {words}");
    words
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn calamares_takes_what_it_is_told_about_a_disk() {
    let _one = machine();
    for (suite, cases) in SUITES {
        let root = root(suite);
        for (filesystem, expected) in cases {
            let _ = fs::remove_dir_all(root.join("etc/calamares"));
            for file in live_files(&spec(suite, filesystem)) {
                let FileContent::Bytes { bytes, .. } = &file.content else { continue };
                let path = root.join(&file.path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, bytes).unwrap();
            }
            let words = said(&root);
            for line in *expected {
                assert!(words.contains(line), "{suite}: {line}: {words}");
            }
            assert!(!words.contains("ERROR") && !words.contains("loading failed"), "{suite}: {words}");
        }
        fs::remove_dir_all(root.parent().unwrap()).unwrap();
    }
}
