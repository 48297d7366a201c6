//! OpenWrt's Image Builders, with the real program: found, checked, unpacked, kept, removed.

mod archives;
mod bootable;
mod booted;
mod building;
mod fixture;
mod killed;
mod packages;
mod profiles;
mod released;
mod renames;
mod servers;
mod sysupgrade;
mod trust;
mod web;

use bootwright::effects::files::FileLock;
use bootwright::effects::{Cancel, Process};
use fixture::World;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use web::Web;

fn path_of(report: &Value) -> PathBuf {
    PathBuf::from(report["builder"]["path"].as_str().unwrap())
}

/// What `make info` says in an unpacked builder.
fn make_info(root: &Path) -> String {
    Process::new("make").arg("-C").arg(root).arg("info").check(&Cancel::default()).unwrap().text()
}

#[test]
fn builders_of_both_compressions_are_fetched_once_and_work() {
    let world = World::new();
    let web = Web::start(&world.server());
    world.settings(&[&web.url], "keys: [keys/openwrt.pub]");
    for (release, platform, target) in
        [("24.10.5", "x86/64", "x86/64"), ("23.05.5", "x86/64", "x86/64"), ("snapshot", "x86/64", "x86/64")]
    {
        let report = world.ensure(release, platform).report();
        assert_eq!(report["made"], true, "{release}");
        assert_eq!(report["builder"]["release"], release);
        assert_eq!(report["builder"]["signedBy"], serde_json::json!(["usign:0707070707070707"]));
        let root = path_of(&report);
        let info = make_info(&root);
        assert!(info.contains(&format!("Current Target: \"{target}\"")), "{info}");
        assert!(info.contains("Current Revision: \"r28739-d9340319c6\""), "{info}");
        assert_eq!(
            fs::read_to_string(root.join("packages/Packages")).unwrap(),
            format!("{release} {platform}\n")
        );
        // Modes and dates are the archive's, whatever ours would be.
        let mode = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("scripts/getver.sh"), mode("Makefile"), mode("target/linux")),
            (0o755, 0o644, 0o750)
        );
        assert_eq!(fs::metadata(root.join("Makefile")).unwrap().mtime(), 1_750_000_000);
        assert_eq!(fs::metadata(root.join("scripts/getver.sh")).unwrap().nlink(), 2);
        let tool = fs::read_link(root.join("staging_dir/host/bin/python3")).unwrap();
        assert_eq!(tool, Path::new("/usr/bin/python3"));
        assert!(web.requests().iter().any(|r| r.starts_with("GET") && r.contains("imagebuilder")));

        let again = world.ensure(release, platform).report();
        assert_eq!(
            (&again["made"], &again["builder"]["path"]),
            (&Value::Bool(false), &report["builder"]["path"])
        );
        assert!(!web.requests().iter().any(|r| r.contains("imagebuilder")), "{release}");
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    let list = world.run(&["openwrt", "builder", "list"]).report();
    let releases: Vec<&str> =
        list["builders"].as_array().unwrap().iter().map(|b| b["release"].as_str().unwrap()).collect();
    assert_eq!(releases, ["23.05.5", "24.10.5", "snapshot"]);
}

#[test]
fn a_branch_is_its_latest_release_and_offline_what_is_here() {
    let world = World::new();
    let web = Web::start(&world.server());
    world.settings(&[&web.url], "keys: [keys/openwrt.pub]");
    let offline = ["--offline", "openwrt", "builder", "ensure", "24.10", "x86/64"];
    assert_eq!(world.run(&offline).error()["code"], "OFFLINE");
    let report = world.ensure("24.10", "x86/64").report();
    assert_eq!(report["builder"]["release"], "24.10.5");
    world.ensure("24.10.4", "x86/64").report();
    web.requests();
    let here = world.run(&offline).report();
    assert_eq!((&here["builder"]["release"], &here["asked"]), (&Value::from("24.10.5"), &Value::Bool(false)));
    assert_eq!(web.requests(), Vec::<String>::new());
    let other = ["--offline", "openwrt", "builder", "ensure", "24.10", "ramips/mt7621"];
    assert_eq!(world.run(&other).error()["code"], "OFFLINE");
    // A folder of this host is there without network.
    world.settings(&[&web.url, &world.folder_url()], "keys: [keys/openwrt.pub]");
    assert_eq!(world.run(&other).report()["made"], true);
    assert_eq!(web.requests(), Vec::<String>::new());
    let error = world.ensure("19.07", "x86/64").error();
    assert_eq!(error["class"], "spec", "{error}");
}

#[test]
fn a_lost_database_is_written_again_from_the_files() {
    let world = World::new();
    world.ensure("24.10.5", "x86/64").report();
    let list = || world.run(&["openwrt", "builder", "list"]).report();
    let before = list();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(world.cache().join(name));
    }
    assert_eq!(list(), before);
    assert_eq!(before["builders"][0]["state"], "ready");
    // And an entry that somebody removed is not listed.
    fs::remove_dir_all(path_of(&serde_json::json!({ "builder": before["builders"][0] })).parent().unwrap())
        .unwrap();
    assert_eq!(list()["builders"], serde_json::json!([]));
}

#[test]
fn damage_is_found_removed_and_made_good() {
    let world = World::new();
    let root = path_of(&world.ensure("24.10.5", "x86/64").report());
    fs::write(root.join("packages/Packages"), "other\n").unwrap();
    let said = world.run(&["openwrt", "builder", "verify"]);
    assert_eq!(said.0.status.code(), Some(7), "{}", said.words());
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    assert_eq!(report["damaged"][0]["builder"], "24.10.5 x86/64");
    assert_eq!(report["damaged"][0]["what"], "/packages/Packages was changed");
    assert_eq!(report["damaged"][0]["dropped"], true);
    assert!(!root.exists());
    assert_eq!(world.ensure("24.10.5", "x86/64").report()["made"], true);
    // Found before use as well.
    fs::write(root.join("Makefile"), "evil:\n").unwrap();
    assert_eq!(world.ensure("24.10.5", "x86/64").report()["made"], true);
    assert!(make_info(&root).contains("Current Target"));
    assert_eq!(world.run(&["openwrt", "builder", "verify"]).report()["checked"], 1);
}

#[test]
fn prune_goes_by_age_and_size_and_leaves_what_is_in_use() {
    let world = World::new();
    let root = path_of(&world.ensure("24.10.5", "x86/64").report());
    world.ensure("24.10.4", "x86/64").report();
    let held = FileLock::share(root.parent().unwrap()).unwrap().unwrap();
    let prune = |args: &[&str]| world.run(&[&["openwrt", "builder", "prune"], args].concat());
    assert_eq!(prune(&[]).error()["class"], "spec");
    let names = |report: &Value, list: &str| -> Vec<String> {
        let list = report[list].as_array().unwrap().iter();
        list.map(|b| b["builder"].as_str().unwrap().to_owned()).collect()
    };
    let report = prune(&["--max-age", "30d"]).report();
    assert!(names(&report, "removed").is_empty());
    let report = prune(&["--max-size", "0MiB", "--dry-run"]).report();
    assert_eq!((names(&report, "removed").len(), names(&report, "inUse").len()), (1, 1));
    assert!(root.exists());
    let report = prune(&["--max-size", "0MiB"]).report();
    assert_eq!(names(&report, "removed"), ["24.10.4 x86/64"]);
    assert_eq!(names(&report, "inUse"), ["24.10.5 x86/64"]);
    drop(held);
    let old = rustix::fs::Timespec { tv_sec: 1_600_000_000, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
    let entry = root.parent().unwrap();
    rustix::fs::utimensat(rustix::fs::CWD, entry, &times, rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(names(&prune(&["--max-age", "30d"]).report(), "removed"), ["24.10.5 x86/64"]);
    let list = world.run(&["openwrt", "builder", "list"]).report();
    assert_eq!(list["builders"], serde_json::json!([]));
}

#[test]
fn a_cache_where_make_cannot_work_is_refused() {
    let world = World::new();
    world.write_settings(&format!(
        "cache: {{path: \"my cache\"}}\nopenwrt: {{urls: [\"{}\"], keys: [keys/openwrt.pub]}}\n",
        world.folder_url()
    ));
    let error = world.ensure("24.10.5", "x86/64").error();
    assert!(error["message"].as_str().unwrap().contains("my cache"), "{error}");
    assert_eq!(error["class"], "host");
    assert!(!world.catalog().join("my cache/openwrt-builders").exists());
}

#[test]
fn settings_without_sense_are_refused() {
    let world = World::new();
    for (openwrt, field) in [
        ("{urls: [\"ftp://x/\"], keys: [a]}", "openwrt.urls[0]"),
        ("{urls: [\"https://me:pw@host/\"], keys: [a]}", "openwrt.urls[0]"),
        ("{urls: [\"https://host/\"]}", "openwrt.keys"),
        ("{urls: [\"https://host/\"], keys: [a], unsigned: true}", "openwrt.unsigned"),
        ("{keys: [a]}", "openwrt.urls"),
        ("{urls: [\"https://host/?q\"], keys: [a]}", "openwrt.urls[0]"),
    ] {
        world.write_settings(&format!("openwrt: {openwrt}\n"));
        let said = world.run(&["check"]);
        assert!(!said.0.status.success(), "{openwrt}");
        assert!(said.words().contains(field), "{openwrt}: {}", said.words());
    }
    world.write_settings("");
    let error = world.ensure("24.10.5", "x86/64").error();
    assert!(error["message"].as_str().unwrap().contains("no OpenWrt server"), "{error}");
}
