//! Device profiles as releases, with the real program: checked, planned, locked, built, looked into,
//! signed, published, and put on a card.

use super::bootable::bootable;
use super::building::{self, write};
use super::fixture::{Said, World, pack};
use crate::crash::command;
use crate::flash::card::{Card, Loop};
use crate::writers::bench::Bench;
use bootwright::effects::{Cancel, Point, Process};
use bootwright::model::Digest;
use bootwright::model::receipt::ReceiptResult;
use bootwright::release::keys;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A profile of this repository's own catalog, whose firmware is a disk image too. It is paused,
/// because that catalog names no server.
const CELLAR: &str = include_str!("../../../specs/cellar-router.yaml");
const FIRST_BOOT: &str = include_str!("../../../specs/scripts/cellar-router.sh");

/// A catalog with both routers, a key to sign with and a store.
pub fn world() -> World {
    let world = building::world();
    write(&world, "specs/cellar-router.yaml", &CELLAR.replace("  paused: true\n", ""));
    write(&world, "specs/scripts/cellar-router.sh", FIRST_BOOT);
    write(&world, "specs/overlays/cellar-router/etc/banner", "cellar-router\n");
    settings(&world);
    keys::write_key_pair(&world.catalog().join("keys/bootwright.key"), None).unwrap();
    world
}

/// One device is enough.
fn without_cellar(world: &World) {
    for path in ["specs/cellar-router.yaml", "specs/scripts/cellar-router.sh"] {
        fs::remove_file(world.catalog().join(path)).unwrap();
    }
    fs::remove_dir_all(world.catalog().join("specs/overlays/cellar-router")).unwrap();
}

/// The other one is.
pub fn only_cellar(world: &World) {
    fs::remove_file(world.catalog().join("specs/router.yaml")).unwrap();
    fs::remove_file(world.catalog().join("specs/scripts/first.sh")).unwrap();
    fs::remove_dir_all(world.catalog().join("specs/overlays/office-router")).unwrap();
}

fn settings(world: &World) {
    let openwrt = format!("openwrt: {{urls: [\"{}\"], keys: [keys/openwrt.pub]}}\n", world.folder_url());
    let ours = "store: {path: releases}\nsigning: {key: keys/bootwright.key}\n";
    world.write_settings(&format!("{openwrt}{ours}"));
}

pub fn change(world: &World, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(world.catalog().join(path)).unwrap();
    assert!(text.contains(from), "{path}: {text}");
    write(world, path, &text.replace(from, to));
}

/// The reasons of the step for one device, in the program's words; empty if there is no step.
fn reasons(world: &World, name: &str) -> (String, Vec<Value>) {
    let plan = world.run(&["plan", "--only", name]).report();
    let step = plan["plan"]["steps"].as_array().unwrap().iter().find(|step| step["image"] == name).cloned();
    let step = step.unwrap_or_default();
    let action = step["action"]["action"].as_str().unwrap_or_default().to_owned();
    (action, step["reasons"].as_array().cloned().unwrap_or_default())
}

fn reconcile(world: &World) -> Value {
    let report = world.run(&["reconcile"]).report();
    assert_eq!(report["failed"], json!([]), "{report}");
    report
}

/// The folder of the one release of a device.
fn release(world: &World, name: &str) -> PathBuf {
    let versions = fs::read_dir(world.catalog().join("releases").join(name)).unwrap();
    let mut folders: Vec<PathBuf> = versions
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    // Of one day the names say nothing: a digest follows the date.
    folders.sort_by_key(|path| fs::metadata(path.join("manifest.json")).unwrap().modified().unwrap());
    folders.pop().unwrap()
}

pub fn manifest(world: &World, name: &str) -> Value {
    let bytes = fs::read(release(world, name).join("manifest.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Puts another Image Builder of a release on the server: `change` gets its folder.
fn alter(world: &World, release: &str, platform: &str, change: &dyn Fn(&Path)) {
    let archive = world.archive(release, platform, "zst");
    let work = tempfile::tempdir().unwrap();
    let tar = Process::new("tar").arg("-xf").arg(&archive).arg("-C").arg(work.path());
    tar.check(&Cancel::default()).unwrap();
    let name = fs::read_dir(work.path()).unwrap().next().unwrap().unwrap().file_name();
    change(&work.path().join(&name));
    pack(work.path(), name.to_str().unwrap(), &archive);
    world.sign(release, platform);
}

/// Replaces a text in a script of an Image Builder.
fn script(tree: &Path, name: &str, from: &str, to: &str) {
    let path = tree.join("scripts").join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{name}: {text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn boot_a_profile_becomes_a_release_that_anyone_can_check() {
    let world = world();
    bootable(&world, "24.10.5", "x86/64", &|_| {});
    assert_eq!(world.run(&["check"]).report()["problems"], json!([]));
    // Nothing is asked, and nothing is known of packages yet.
    let (action, why) = reasons(&world, "cellar-router");
    assert_eq!((action.as_str(), &why[0]["reason"]), ("lock", &json!("new-spec")));
    assert!(!world.cache().join("openwrt-builders").exists());

    let locked = world.run(&["lock"]).report();
    let devices: Vec<&str> =
        locked["devices"].as_array().unwrap().iter().map(|d| d["device"].as_str().unwrap()).collect();
    assert_eq!(devices, ["cellar-router", "office-router"]);
    assert_eq!(locked["devices"][1]["imageLimit"], json!(1_000_000));
    let text = fs::read_to_string(world.catalog().join("specs/office-router.lock.yaml")).unwrap();
    for line in ["release: \"24.10.5\"", "- {name: tmux, version: \"3.4-r1\"}", "  packages:\n  - luci\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(world.run(&["lock", "--update"]).report()["devices"][0]["outcome"], "unchanged");
    assert_eq!(world.run(&["check"]).report()["problems"], json!([]));

    // The plan knows how much room there is before anything is built.
    let plan = world.run(&["plan"]).report();
    assert_eq!(plan["plan"]["steps"][1]["action"]["action"], "build", "{plan}");
    let room = &plan["report"][1]["room"];
    assert_eq!(room["limit"], json!(1_000_000));
    assert!(room["installed"].as_u64().unwrap() > 100, "{plan}");

    let report = reconcile(&world);
    let published: Vec<&str> =
        report["published"].as_array().unwrap().iter().map(|p| p["image"].as_str().unwrap()).collect();
    assert_eq!(published, ["cellar-router", "office-router"]);
    assert_eq!(world.run(&["plan"]).report()["plan"]["steps"], json!([]));
    for name in ["cellar-router", "office-router"] {
        assert!(world.run(&["release", "verify", name]).0.status.success());
    }
    what_is_in_the_release(&world);
    what_the_machine_showed(&world);
    a_person_gets_its_console(&world);

    // The card gets the disk image, and nothing that is only for the router's own flash.
    let card = world.path().join("card");
    fs::File::create(&card).unwrap().set_len(128 << 20).unwrap();
    let Some(device) = Loop::with(&card, &[]) else { return };
    device.assert_ours();
    let said = world.run(&["flash", "cellar-router", "--device", &device.path, "--dry-run"]);
    let flash = said.report();
    let name = flash["source"]["name"].as_str().unwrap();
    assert!(name.ends_with("openwrt-24.10.5-x86-64-generic-squashfs-combined-efi.img.gz"), "{flash}");
    assert_eq!((&flash["source"]["vouched"], &flash["source"]["packing"]), (&json!(true), &json!("gzip")));
    // What it says of itself when it has started from the card.
    assert!(world.run(&["flash", "cellar-router", "--device", &device.path, "--yes"]).0.status.success());
    let revision = manifest(&world, "cellar-router")["openwrt"]["revision"].as_str().unwrap().to_owned();
    let release = |version: &str, target: &str| {
        format!("DISTRIB_RELEASE='{version}'\nDISTRIB_REVISION='{revision}'\nDISTRIB_TARGET='{target}'\n")
    };
    for (said, code, verdict) in [
        (release("24.10.5", "x86/64"), 0, "alike"),
        (format!(" OpenWrt 24.10.5, {revision}\n"), 0, "alike"),
        (release("24.10.5", "x86/generic"), 7, "unknown"),
        (release("24.10.4", "x86/64"), 7, "unknown"),
        (" OpenWrt 24.10.5, r1-x\n".to_owned(), 7, "unknown"),
    ] {
        let file = world.path().join("said");
        fs::write(&file, &said).unwrap();
        let checked = world.run(&["flash", "check", file.to_str().unwrap()]);
        let told: Value = serde_json::from_slice(&checked.0.stdout).unwrap();
        assert_eq!((checked.0.status.code(), &told["verdict"]), (Some(code), &json!(verdict)), "{said}");
    }
    // Which board it is for was signed with it.
    for board in ["netgear,r6220", "mipsel_24kc", "generic-x86_64"] {
        let said =
            world.run(&["flash", "cellar-router", "--device", &device.path, "--dry-run", "--board", board]);
        let words = format!("{board} is asked for");
        assert!(!said.0.status.success() && said.words().contains(&words), "{board}: {}", said.words());
    }
    let said = world.run(&["flash", "office-router", "--device", &device.path, "--dry-run"]);
    assert!(said.words().contains("nor firmware for a card"), "{}", said.words());
    drop(device);
    a_card_writer_carries_it(&world);
}

/// An order may name a device: its firmware comes on the card of another host, and the receipt says so.
fn a_card_writer_carries_it(world: &World) {
    let Some(card) = Card::used(128 << 20) else { return };
    let mut bench = Bench::of((), world.catalog(), card, "127.0.0.1");
    let folder = release(world, "cellar-router");
    let version = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let what = format!("image: cellar-router, version: {version}, board: x86_64");
    bench.order(&what, "");
    let _serving = bench.serve(&[]);
    let (code, report) = bench.enroll("keys/bootwright.pub");
    assert_eq!(code, 0, "{report}");
    assert_eq!(bench.once(), (0, 1));
    let receipts = bench.receipts();
    let receipt = &receipts[0].receipt;
    assert_eq!((receipts.len(), receipt.result), (1, ReceiptResult::Good), "{receipt:?}");
    let packed = folder.join("openwrt-24.10.5-x86-64-generic-squashfs-combined-efi.img.gz");
    let image = command("gzip").arg("-dc").arg(packed).output().unwrap().stdout;
    let digest = Some(Digest::of(&image));
    assert_eq!((receipt.sha256, receipt.read_back), (digest, digest));
    assert!(image.len() > 1 << 20 && bench.card.bytes()[..image.len()] == image[..]);
}

/// Both disks were started, by BIOS and by UEFI; the rest is a part of them.
fn what_the_machine_showed(world: &World) {
    let manifest = manifest(world, "cellar-router");
    assert_eq!(manifest["openwrt"]["notBooted"], Value::Null);
    let evidence = manifest["verification"].as_array().unwrap();
    let boots: Vec<&Value> = evidence
        .iter()
        .flat_map(|e| e["checks"].as_array().unwrap())
        .filter(|check| check["boot"] != Value::Null)
        .collect();
    let names: Vec<&str> = boots.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["boot-uefi", "boot-bios"], "{manifest}");
    for boot in boots {
        assert_eq!(boot["verdict"]["verdict"], "passed");
        let findings: Vec<&str> =
            boot["findings"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        for found in
            ["DISTRIB_RELEASE: 24.10.5", "board: qemu-standard-pc (QEMU)", "packages: 7", "first boot: done"]
        {
            assert!(findings.contains(&found), "{found}: {findings:?}");
        }
        let timings = boot["timingsMs"].to_string();
        assert!(timings.contains("init-complete") && timings.contains("reboot: init-complete"), "{timings}");
    }
    let folder = release(world, "cellar-router");
    for kind in ["combined", "combined-efi"] {
        let log = fs::read_to_string(folder.join(format!("evidence/squashfs-{kind}-serial.log"))).unwrap();
        assert!(log.contains("Please press Enter to activate this console"), "{log}");
        assert!(folder.join(format!("evidence/squashfs-{kind}-screenshot.png")).exists());
    }
    let page = fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.contains("boot-uefi") && !page.contains("cannot be booted here"), "{page}");
}

/// `boot` starts the image that the mode asks for, of a copy.
fn a_person_gets_its_console(world: &World) {
    let mut booting = command("timeout");
    booting.args([
        "-k",
        "10",
        "200",
        env!("CARGO_BIN_EXE_bootwright"),
        "boot",
        "cellar-router",
        "--mode",
        "bios",
    ]);
    booting.current_dir(world.catalog()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut booting = booting.spawn().unwrap();
    let console = std::io::BufReader::new(booting.stdout.take().unwrap());
    let woken = std::io::BufRead::split(console, b'\n')
        .any(|line| String::from_utf8_lossy(&line.unwrap()).contains("Please press Enter to activate"));
    let id = rustix::process::Pid::from_child(&booting);
    let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
    booting.wait().unwrap();
    assert!(woken, "its console never came");
    let said = world.run(&["boot", "cellar-router", "--mode", "uefi-usb"]);
    assert!(said.words().contains("firmware that starts by uefi-usb"), "{}", said.words());
    let said = world.run(&["boot", "office-router"]);
    assert!(said.words().contains("has no ISO, disk image or firmware that starts by"), "{}", said.words());
    assert!(world.run(&["release", "verify", "cellar-router"]).0.status.success());
}

fn what_is_in_the_release(world: &World) {
    let manifest = manifest(world, "office-router");
    let facts = &manifest["openwrt"];
    assert_eq!(
        (&facts["release"], &facts["platform"], &facts["board"]),
        (&json!("24.10.5"), &json!("ramips/mt7621"), &json!("netgear,r6220"))
    );
    assert_eq!(facts["notBooted"], "cannot be booted here: there is no virtual machine for ramips/mt7621");
    let image = "openwrt-24.10.5-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin";
    let roles: Vec<(&str, String)> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["name"].as_str().unwrap(), file["role"].to_string()))
        .collect();
    for (name, role) in [
        (image, "{\"artifact\":\"firmware\"}"),
        ("profiles.json", "\"image-builder\""),
        ("sha256sums", "\"image-builder\""),
        ("lock.yaml", "\"lock\""),
        ("sbom.spdx.json", "\"sbom\""),
    ] {
        assert!(roles.contains(&(name, role.to_owned())), "{name}: {roles:?}");
    }
    let checks: Vec<(&str, &str)> = manifest["verification"][0]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["verdict"]["verdict"].as_str().unwrap()))
        .collect();
    let names = ["listed", "root", "unpack", "overlay", "packages", "services"];
    assert_eq!(checks, names.map(|name| (name, "passed")));
    assert_eq!(manifest["notReproducible"][0]["file"], image, "{manifest}");
    let folder = release(world, "office-router");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(text("sbom.spdx.json").contains("pkg:opkg/openwrt/tmux@3.4-r1?arch="));
    assert!(text("index.html").contains("there is no virtual machine for ramips/mt7621"));
    let sums = command("sha256sum").current_dir(&folder).args(["-c", "--quiet", "SHA256SUMS"]).output();
    assert!(sums.unwrap().status.success());
}

#[test]
fn the_plan_says_what_changed_and_damage_is_repaired() {
    let world = world();
    without_cellar(&world);
    world.run(&["lock"]).report();
    reconcile(&world);
    let field = |why: &[Value], field: &str| why.iter().find(|r| r["field"] == field).cloned();
    // A field, a file, and what both come to.
    change(&world, "specs/router.yaml", "rootfsSize: 64MiB", "rootfsSize: 65MiB");
    write(&world, "specs/overlays/office-router/etc/banner", "theirs\n");
    let (action, why) = reasons(&world, "office-router");
    assert_eq!((action.as_str(), why.len()), ("build", 2), "{why:?}");
    assert_eq!(field(&why, "rootfsMib").unwrap()["to"], "65");
    assert!(field(&why, "overlay: etc/banner").is_some(), "{why:?}");
    // Other packages are another question: the lock no longer answers.
    change(&world, "specs/router.yaml", "[luci, tmux]", "[luci]");
    let said = world.run(&["plan"]);
    assert!(said.words().contains("the lock is out of date"), "{}", said.words());
    world.run(&["lock"]).report();
    let (_, why) = reasons(&world, "office-router");
    let gone: Vec<&str> = why
        .iter()
        .filter_map(|r| r["change"]["name"].as_str().filter(|_| r["change"]["change"] == "removed"))
        .collect();
    assert_eq!(gone, ["libncurses6", "tmux"], "{why:?}");
    reconcile(&world);
    assert_eq!(world.run(&["plan"]).report()["plan"]["steps"], json!([]));
    // A builder with another digest, and another version of a package in it.
    alter(&world, "24.10.5", "ramips/mt7621", &|tree| {
        let packages = tree.join("packages");
        fs::rename(packages.join("luci_25.1.ipk"), packages.join("luci_25.2.ipk")).unwrap();
        let index = fs::read_to_string(packages.join("index")).unwrap();
        fs::write(packages.join("index"), index.replace("luci 25.1 ", "luci 25.2 ")).unwrap();
    });
    assert_eq!(reasons(&world, "office-router").0, "", "a plan asks nobody");
    world.run(&["lock", "--update"]).report();
    let (_, why) = reasons(&world, "office-router");
    assert!(field(&why, "builder").is_some(), "{why:?}");
    let changed = why.iter().find(|r| r["change"]["change"] == "changed").unwrap();
    assert_eq!(
        (&changed["change"]["name"], &changed["change"]["from"], &changed["change"]["to"]),
        (&json!("luci"), &json!("25.1"), &json!("25.2"))
    );
    reconcile(&world);
    let folder = release(&world, "office-router");
    assert!(fs::read_to_string(folder.join("CHANGELOG.md")).unwrap().contains("`luci` `25.1` → `25.2`"));
    // Published bytes: missing, altered, unsigned.
    let image = folder.join("openwrt-24.10.5-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin");
    let bytes = fs::read(&image).unwrap();
    for (spoil, words) in [
        (&(|| fs::remove_file(&image).unwrap()) as &dyn Fn(), "missing"),
        (&|| fs::write(&image, [&bytes[..bytes.len() - 1], b"x"].concat()).unwrap(), "altered"),
        (&|| fs::remove_file(folder.join("manifest.json.sig")).unwrap(), "unsigned"),
    ] {
        spoil();
        let (action, why) = reasons(&world, "office-router");
        let defect = why.iter().find_map(|r| r["defect"]["defect"].as_str());
        assert_eq!((action.as_str(), defect), ("repair", Some(words)), "{why:?}");
        // From what was built once: the Image Builder would sign with another key.
        reconcile(&world);
        assert_eq!(fs::read(&image).unwrap(), bytes, "{words}");
        assert_eq!(world.run(&["plan"]).report()["plan"]["steps"], json!([]), "{words}");
    }
}

#[test]
fn a_branch_follows_its_releases_when_its_lock_is_made_anew() {
    let world = world();
    without_cellar(&world);
    change(&world, "specs/router.yaml", "release: 24.10.5", "release: \"24.10\"");
    let versions = world.server().join(".versions.json");
    let all = fs::read_to_string(&versions).unwrap();
    fs::write(&versions, all.replace("\"24.10.5\",\"24.10.4\"", "\"24.10.4\"")).unwrap();
    world.run(&["lock"]).report();
    reconcile(&world);
    assert_eq!(manifest(&world, "office-router")["openwrt"]["release"], "24.10.4");
    fs::write(&versions, &all).unwrap();
    assert_eq!(world.run(&["plan"]).report()["plan"]["steps"], json!([]));
    world.run(&["lock", "--update"]).report();
    let (_, why) = reasons(&world, "office-router");
    let release = why.iter().find(|r| r["field"] == "release").unwrap();
    assert_eq!((&release["from"], &release["to"]), (&json!("24.10.4"), &json!("24.10.5")));
    // Without a lock in the catalog a run asks by itself, once.
    fs::remove_file(world.catalog().join("specs/office-router.lock.yaml")).unwrap();
    let report = reconcile(&world);
    assert_eq!(report["published"], json!([]), "the published lock answers: {report}");
    change(&world, "specs/router.yaml", "spec:\n", "spec:\n  freshness: {maxAgeDays: 30}\n  paused: true\n");
    let plan = world.run(&["plan"]).report();
    assert_eq!(plan["report"][0]["status"]["status"], "paused", "{plan}");
}

/// What an Image Builder says that does not do what it is told, and who finds it.
#[test]
fn firmware_that_is_not_what_was_promised_is_refused_by_name() {
    for (file, from, to, words) in [
        ("image.sh", "cp -fpR \"$files\"/. \"$TARGET_DIR\"/", "true", "etc/banner: it is not in the image"),
        (
            "image.sh",
            "for service in",
            "echo other > \"$TARGET_DIR/etc/banner\"; for service in",
            "etc/banner: it has other bytes",
        ),
        (
            "image.sh",
            "for service in",
            "chmod 600 \"$TARGET_DIR/etc/uci-defaults/99-bootwright\"; for service in",
            "etc/uci-defaults/99-bootwright: its mode is 0600, 0755 was asked for",
        ),
        (
            "image.sh",
            "rm -f \"$TARGET_DIR\"/etc/rc.d/S??\"$service\"",
            "true",
            "the service odhcpd is started",
        ),
        (
            "image.sh",
            "for service in",
            "sed -i 's/^Package: tmux/Package: screen/' \"$TARGET_DIR/usr/lib/opkg/status\"; for service in",
            "not as locked: + screen 3.4-r1",
        ),
        (
            "image.sh",
            "for service in",
            "rm \"$TARGET_DIR/usr/lib/opkg/status\"; for service in",
            "there is neither /lib/apk/db/installed nor /usr/lib/opkg/status",
        ),
        (
            "image.sh",
            "unsigned=$(sha256sum",
            "head -c 300000 /dev/zero > \"$bin/$image\"; unsigned=$(sha256sum",
            "there is no squashfs in it",
        ),
    ] {
        let world = world();
        without_cellar(&world);
        change(&world, "specs/router.yaml", "[luci, tmux]", "[luci, tmux, odhcpd]");
        alter(&world, "24.10.5", "ramips/mt7621", &|tree| script(tree, file, from, to));
        let said = world.run(&["reconcile"]);
        let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
        let failure = &report["failed"][0]["failure"];
        assert_eq!(failure["class"], "verify", "{words}: {}", said.words());
        assert!(failure["message"].as_str().unwrap().contains(words), "{words}: {failure}");
        assert!(!world.catalog().join("releases/office-router").exists(), "{words}");
    }
}

/// The same Image Builder, the same lock, other packages than it said.
#[test]
fn a_build_of_other_packages_than_were_locked_is_refused() {
    let world = world();
    without_cellar(&world);
    alter(&world, "24.10.5", "ramips/mt7621", &|tree| {
        let list = "./scripts/package.sh list > \"$bin";
        script(tree, "image.sh", list, &format!("echo 3.5-r1 > \"$TARGET_DIR/usr/lib/db/tmux\"; {list}"));
    });
    world.run(&["lock"]).report();
    let said = world.run(&["reconcile"]);
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    let failure = &report["failed"][0]["failure"];
    assert_eq!((&failure["class"], &failure["code"]), (&json!("upstream"), &json!("PKG_UNAVAILABLE")));
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("no longer those of the lock: tmux 3.4-r1 -> 3.5-r1"), "{message}");
    assert!(!world.catalog().join("releases/office-router").exists());
    assert!(world.run(&["openwrt", "builds"]).report()["builds"] == json!([]));
}

#[test]
fn a_release_is_built_again_and_compared() {
    let world = world();
    without_cellar(&world);
    world.run(&["lock"]).report();
    reconcile(&world);
    let image = "openwrt-24.10.5-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin";
    let again = world.run(&["rebuild", "office-router", "--keep", "again"]).report();
    let file = &again["files"][0];
    assert_eq!((&again["reproduced"], &file["name"]), (&json!(true), &json!(image)), "{again}");
    // Its signature is another one; all before it is the same.
    assert_ne!(file["published"], file["rebuilt"]);
    assert!(file["excused"].as_str().unwrap().contains("a key that is made for each build"), "{file}");
    assert!(world.catalog().join("again").join(image).exists());
    assert!(fs::read_to_string(release(&world, "office-router").join("rebuilds.intoto.jsonl")).is_ok());
    // What was published lies in the cache as it was: a repair gives the same bytes.
    assert_eq!(
        world.run(&["openwrt", "build", "office-router"]).report()["firmware"][0]["outcome"],
        "reused"
    );
    // An Image Builder that makes something else each time.
    alter(&world, "24.10.5", "ramips/mt7621", &|tree| {
        let image = "mksquashfs \"$TARGET_DIR\" \"$bin/$image\"";
        script(
            tree,
            "image.sh",
            image,
            &format!("head -c 9 /dev/urandom > \"$TARGET_DIR/etc/seed\"; {image}"),
        );
    });
    world.run(&["lock", "--update"]).report();
    reconcile(&world);
    let said = world.run(&["rebuild", "office-router", "--unsigned"]);
    let other: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    assert_eq!(other["reproduced"], false, "{other}");
    assert!(!said.0.status.success());
    assert_eq!(other["files"][0]["excused"], Value::Null);
    assert!(other["files"][0]["difference"]["offset"].is_u64(), "{other}");
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn builds_are_found_by_profile_image_and_device() {
    let world = world();
    change(
        &world,
        "specs/cellar-router.yaml",
        "target: x86\n  subtarget: 64\n  profile: generic",
        "target: ramips\n  subtarget: mt7621\n  profile: tplink_re650-v1",
    );
    let none = world.run(&["openwrt", "builds"]).report();
    assert_eq!((&none["builds"], &none["latest"]), (&json!([]), &Value::Null));
    assert_eq!(world.run(&["openwrt", "builds", "--profile", "nobody"]).error()["class"], "spec");
    reconcile(&world);
    let first = manifest(&world, "office-router");
    write(&world, "specs/overlays/office-router/etc/banner", "theirs\n");
    reconcile(&world);
    let second = manifest(&world, "office-router");
    let builds = |args: &[&str]| world.run(&[&["openwrt", "builds"], args].concat()).report();
    let recipes = |report: &Value| -> Vec<Value> {
        report["builds"].as_array().unwrap().iter().map(|build| build["recipe"].clone()).collect()
    };
    let of_profile = builds(&["--profile", "office-router"]);
    assert_eq!(recipes(&of_profile), [second["recipe"].clone(), first["recipe"].clone()]);
    assert_eq!(of_profile["latest"], second["recipe"]);
    assert_eq!(of_profile["builds"][0]["releases"][0]["version"], second["version"]);
    let image = first["openwrt"]["images"][0].clone();
    for digest in ["sha256", "sha256Unsigned"] {
        let found = builds(&["--image", image[digest].as_str().unwrap()]);
        assert_eq!(recipes(&found), [first["recipe"].clone()], "{digest}");
    }
    let of_device = builds(&["--device", "netgear_r6220", "--release", "24.10"]);
    assert_eq!(recipes(&of_device).len(), 2);
    assert_eq!(recipes(&builds(&["--device", "netgear_r6220", "--release", "23.05"])).len(), 0);
    assert_eq!(recipes(&builds(&["--device", "tplink_re650-v1"])).len(), 1);
    // Without the cache the releases still know; without a database, too.
    fs::remove_dir_all(world.cache()).unwrap();
    let again = builds(&["--profile", "office-router"]);
    assert_eq!(recipes(&again), recipes(&of_profile));
    assert_eq!(again["builds"][0]["path"], Value::Null);
    // What failed is told with its reason.
    alter(&world, "24.10.5", "ramips/mt7621", &|tree| {
        script(tree, "image.sh", "cp -fpR \"$files\"/. \"$TARGET_DIR\"/", "true");
    });
    fs::remove_dir_all(world.catalog().join("releases")).unwrap();
    assert!(!world.run(&["reconcile"]).0.status.success());
    let failed = builds(&["--profile", "office-router"]);
    assert_eq!(failed["failed"][0]["failure"]["class"], "verify", "{failed}");
}

#[test]
fn policies_are_about_firmware_too() {
    let world = world();
    without_cellar(&world);
    let policy = |rule: &str| {
        let text = format!(
            "apiVersion: bootwright/v1\nkind: Policy\nmetadata: {{name: house}}\nspec: {{rules: [{rule}]}}\n"
        );
        write(&world, "policies/house.yaml", &text);
    };
    let refused = |rule: &str, words: &str| {
        policy(rule);
        let said = world.run(&["reconcile"]);
        let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
        let failure = &report["failed"][0]["failure"];
        assert_eq!(failure["code"], "POLICY_VIOLATION", "{rule}: {}", said.words());
        assert!(failure["message"].as_str().unwrap().contains(words), "{rule}: {failure}");
    };
    refused("{id: a, lockRequired: true}", "no committed lock for office-router");
    world.run(&["lock"]).report();
    refused("{id: a, forbiddenPackages: [tm*]}", "package tmux is forbidden by tm*");
    refused("{id: a, requiredPackages: [wireguard-tools]}", "no package wireguard-tools is installed");
    refused("{id: a, select: {kinds: [firmware]}, bootedFirmware: true}", "nothing here has booted openwrt-");
    refused("{id: a, absentPaths: [/etc/banner]}", "/etc/banner must not be there");
    refused("{id: a, presentPaths: [/etc/ssl/certs]}", "/etc/ssl/certs has to be there and is not");
    refused(
        "{id: a, fileModes: [{path: /usr/bin/hi, atMost: \"0700\"}]}",
        "/usr/bin/hi has mode 0755, at most 0700",
    );
    write(&world, "specs/overlays/office-router/etc/shadow", "root:::0:99999:7:::\n");
    refused("{id: a, noEmptyPasswords: true}", "account root has an empty password in /etc/shadow");
    assert!(!world.catalog().join("releases/office-router").exists());
    // Rules on what only images have leave devices alone.
    policy("{id: a, allowedBases: [debian]}, {id: b, lockRequired: true}");
    reconcile(&world);
    policy("{id: a, select: {kinds: [image]}, lockRequired: true}");
    let said = world.run(&["check"]);
    assert!(said.words().contains("the catalog has no image"), "{}", said.words());
}

#[test]
fn two_reconcilers_on_one_cache_make_one_release() {
    let world = world();
    without_cellar(&world);
    change(&world, "specs/router.yaml", "[luci, tmux]", "[luci, tmux, slow]");
    let start = || {
        let mut command = world.bootwright(&["reconcile"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..2).map(|_| start()).collect();
    let said: Vec<Said> = running.into_iter().map(|child| Said(child.wait_with_output().unwrap())).collect();
    let published: usize = said.iter().map(|s| s.report()["published"].as_array().unwrap().len()).sum();
    assert_eq!(published, 1, "{}\n{}", said[0].words(), said[1].words());
    assert_eq!(said.iter().map(|said| said.tasks("unpack")).sum::<usize>(), 1);
    assert!(world.run(&["release", "verify", "office-router"]).0.status.success());
}

#[test]
fn killed_anywhere_the_next_run_publishes() {
    let points = [
        Point::BuilderUnpacked,
        Point::BuilderSealed,
        Point::BuilderKept,
        Point::LockResolved,
        Point::LockKept,
        Point::RunBuilding,
        Point::FirmwareMade,
        Point::FirmwareSealed,
        Point::FirmwareKept,
        Point::RunVerifying,
        Point::EvidenceGathered,
        Point::EvidenceKept,
        Point::FileStaged,
        Point::ReleaseRenamed,
        Point::IndexWritten,
        Point::RunPublished,
    ];
    // Nothing is fetched for this device: building.rs kills when packages are there.
    let of_openwrt = Point::ALL.iter().filter(|p| **p != Point::FirmwareFetched);
    let of_openwrt =
        of_openwrt.filter(|p| p.name().starts_with("builder.") || p.name().starts_with("firmware."));
    assert!(of_openwrt.clone().all(|point| points.contains(point)));
    for point in points {
        let world = world();
        without_cellar(&world);
        let name = point.name();
        let mut killed = world.bootwright(&["reconcile"]);
        let killed = Said(killed.env("BOOTWRIGHT_STOP_AT", name).output().unwrap());
        assert_eq!(killed.0.status.signal(), Some(9), "{name}: {}", killed.words());
        let again = world.run(&["reconcile"]);
        assert_eq!(again.report()["failed"], json!([]), "{name}: {}", again.words());
        // What was whole is not made again.
        let kept = [Point::FirmwareKept, Point::RunVerifying, Point::EvidenceKept, Point::ReleaseRenamed];
        if kept.contains(&point) {
            assert_eq!((again.tasks("build "), again.tasks("unpack")), (0, 0), "{name}");
        }
        assert!(world.run(&["release", "verify", "office-router"]).0.status.success(), "{name}");
        assert_eq!(world.run(&["plan"]).report()["plan"]["steps"], json!([]), "{name}");
        assert_eq!(world.leftovers(), Vec::<String>::new(), "{name}");
    }
}
