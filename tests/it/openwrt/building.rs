//! Firmware, with the real program: built once, found again, refused, killed.

use super::fixture::{Said, World};
use super::profiles::{ROUTER, office};
use super::web::Web;
use crate::crash::command;
use bootwright::effects::{Cancel, Point, Process};
use bootwright::model::Digest;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The profile of the office without a repository of its own, which no server of the tests has.
pub fn world() -> World {
    let world = office();
    let (before, feed) = ROUTER.split_once("  repositories:\n").unwrap();
    let board = feed.lines().find(|line| line.contains("board")).unwrap();
    write(&world, "specs/router.yaml", &format!("{before}{board}\n"));
    fs::remove_dir_all(world.catalog().join("specs/keys")).unwrap();
    world
}

pub fn write(world: &World, path: &str, text: &str) {
    let path = world.catalog().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn router(world: &World) -> String {
    fs::read_to_string(world.catalog().join("specs/router.yaml")).unwrap()
}

/// A small profile.
fn small(world: &World, name: &str, more: &str) {
    let text = format!(
        "apiVersion: bootwright/v1\nkind: DeviceProfile\nmetadata: {{name: {name}, tags: [small]}}\nspec:\n  release: 24.10.5\n  target: ramips\n  subtarget: mt7621\n  profile: netgear_r6260\n{more}"
    );
    write(world, &format!("specs/{name}.yaml"), &text);
}

fn build(world: &World, args: &[&str]) -> Said {
    world.run(&[&["openwrt", "build"], args].concat())
}

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    report["firmware"].as_array().unwrap().iter().map(|f| (text(&f["name"]), text(&f["outcome"]))).collect()
}

/// Everything below the cache's folder of firmware but locks.
pub fn kept(world: &World) -> usize {
    let entries = fs::read_dir(world.cache().join("openwrt-firmware")).into_iter().flatten();
    entries.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

fn unpack(image: &Path, to: &Path) {
    Process::new("unsquashfs")
        .args(["-no-progress", "-d"])
        .arg(to)
        .arg(image)
        .check(&Cancel::default())
        .unwrap();
}

#[test]
fn firmware_is_what_the_profile_says_and_is_built_once() {
    let world = world();
    let dry = build(&world, &["office-router", "--dry-run"]).report();
    assert_eq!(outcomes(&dry), [("office-router".to_owned(), "would-fetch-and-build".to_owned())]);
    assert!(!world.cache().join("openwrt-builders").exists() && kept(&world) == 0);

    let said = build(&world, &["office-router", "-v"]);
    let report = said.report();
    assert_eq!(outcomes(&report), [("office-router".to_owned(), "built".to_owned())]);
    let firmware = &report["firmware"][0];
    let record = &firmware["record"];
    let image = "openwrt-24.10.5-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin";
    assert_eq!(record["images"][0]["name"], image);
    assert_eq!(
        (&record["images"][0]["kind"], &record["images"][0]["filesystem"]),
        (&json!("sysupgrade"), &json!("squashfs"))
    );
    assert_eq!((&record["kernel"], &record["revision"]), (&json!("6.6.93"), &json!("r28739-d9340319c6")));
    assert_eq!((&record["network"], &record["sourceDateEpoch"]), (&json!("none"), &json!(1_750_000_000)));
    let packages: Vec<&str> =
        record["packages"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    for package in ["luci", "luci-base", "tmux", "libncurses6", "busybox", "kernel", "kmod-usb3"] {
        assert!(packages.contains(&package), "{package}: {packages:?}");
    }
    assert!(!packages.contains(&"ppp"));
    let root = PathBuf::from(firmware["path"].as_str().unwrap());
    let files: Vec<&str> =
        record["files"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(files.contains(&"sha256sums") && files.contains(&"profiles.json") && files.contains(&image));
    for file in record["files"].as_array().unwrap() {
        let bytes = fs::read(root.join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(file["sha256"], json!(Digest::of(&bytes)), "{file}");
    }
    // The image has what the profile says.
    let unpacked = world.path().join("unpacked");
    unpack(&root.join(image), &unpacked);
    let text = |path: &str| fs::read_to_string(unpacked.join(path)).unwrap();
    assert_eq!(
        (text("etc/banner"), text("lib/upgrade/keep.d/ours")),
        ("ours\n".to_owned(), "/etc/banner\n".to_owned())
    );
    assert!(text("etc/uci-defaults/99-bootwright").contains("hostname=office"));
    let mode = |path: &str| fs::symlink_metadata(unpacked.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("usr/bin/hi"), mode("etc/banner"), mode("etc")), (0o755, 0o644, 0o755));
    assert_eq!(fs::read_link(unpacked.join("usr/bin/hello")).unwrap().to_str(), Some("hi"));
    assert!(unpacked.join("etc/rc.d/S19dropbear").exists());
    // What make said came as it was said, and is kept.
    assert!(said.words().contains("Building images for ramips/mt7621 - netgear_r6220"));
    let log = fs::read_to_string(firmware["log"].as_str().unwrap()).unwrap();
    assert!(log.contains("Installing tmux (3.4-r1) to root...") && log.contains("Calculating checksums"));
    // Nobody wrote into the builder, and nothing is left of the work.
    assert_eq!(world.run(&["openwrt", "builder", "verify"]).report()["damaged"], json!([]));
    assert_eq!(world.leftovers(), Vec::<String>::new());

    // A second time it is there, without a server.
    fs::remove_dir_all(world.server()).unwrap();
    let again = build(&world, &["office-router"]).report();
    assert_eq!(outcomes(&again), [("office-router".to_owned(), "reused".to_owned())]);
    assert_eq!(again["firmware"][0]["record"], *record);
    assert_eq!(build(&world, &["office-router", "--dry-run"]).report()["firmware"][0]["outcome"], "reused");
}

#[test]
fn what_shapes_it_builds_it_anew_and_nothing_else_does() {
    let world = world();
    let first = build(&world, &["office-router"]).report();
    let recipe = |report: &Value| report["firmware"][0]["recipe"].as_str().unwrap().to_owned();
    let text = router(&world);
    write(&world, "specs/router.yaml", &text.replace("The one in the rack", "Another text"));
    assert_eq!(outcomes(&build(&world, &["office-router"]).report())[0].1, "reused");
    // The order in a list is no difference.
    write(&world, "specs/router.yaml", &text.replace("[luci, tmux]", "[tmux, luci]"));
    assert_eq!(outcomes(&build(&world, &["office-router"]).report())[0].1, "reused");
    write(&world, "specs/router.yaml", &text);
    let mut seen = vec![recipe(&first)];
    for (path, from, to) in [
        ("specs/router.yaml", "[luci, tmux]", "[luci]"),
        ("specs/router.yaml", "disabledServices: [odhcpd]", "disabledServices: [dropbear]"),
        ("specs/router.yaml", "rootfsSize: 64MiB", "rootfsSize: 65MiB"),
        ("specs/router.yaml", "netgear_r6220", "netgear_r6260"),
        ("specs/scripts/first.sh", "office", "lab"),
        ("specs/overlays/office-router/etc/banner", "ours", "theirs"),
    ] {
        let before = fs::read_to_string(world.catalog().join(path)).unwrap();
        write(&world, path, &before.replace(from, to));
        let report = build(&world, &["office-router"]).report();
        assert_eq!(outcomes(&report)[0].1, "built", "{to}");
        assert!(!seen.contains(&recipe(&report)), "{to}");
        seen.push(recipe(&report));
        write(&world, path, &before);
    }
    // By force it is built, and is the same but for the signature of a key that is made each time.
    let forced = build(&world, &["office-router", "--force"]).report();
    assert_eq!((outcomes(&forced)[0].1.as_str(), recipe(&forced)), ("built", recipe(&first)));
    let image = |report: &Value| report["firmware"][0]["record"]["images"][0].clone();
    assert_eq!(image(&forced)["sha256Unsigned"], image(&first)["sha256Unsigned"]);
    assert_ne!(image(&forced)["sha256"], image(&first)["sha256"]);
    assert_eq!(kept(&world), 7);
}

#[test]
fn the_callers_surroundings_are_not_in_it() {
    let (one, two) = (world(), world());
    let first = build(&one, &["office-router"]).report();
    let mut other = two.bootwright(&["openwrt", "build", "office-router"]);
    other
        .env("IB", "1")
        .env("PROFILE", "x")
        .env("MAKEFLAGS", "-n")
        .env("SOURCE_DATE_EPOCH", "1")
        .env("TZ", "Asia/Tokyo");
    let program = format!("umask 077; exec {} \"$@\"", env!("CARGO_BIN_EXE_bootwright"));
    let mut shell = command("sh");
    shell.current_dir(two.catalog()).arg("-c").arg(program).arg("sh").args(other.get_args());
    for (name, value) in other.get_envs() {
        value.map(|value| shell.env(name, value));
    }
    let second = Said(shell.output().unwrap()).report();
    let unsigned = |report: &Value| report["firmware"][0]["record"]["images"][0]["sha256Unsigned"].clone();
    assert_eq!(unsigned(&first), unsigned(&second));
}

#[test]
fn several_devices_are_built_from_one_builder() {
    let world = world();
    for name in ["a1", "a2", "a3", "a4"] {
        small(&world, name, &format!("  packages: {{add: [luci]}}\n  disabledServices: [{name}]\n"));
    }
    small(&world, "same-as-a1", "  packages: {add: [luci]}\n  disabledServices: [a1]\n");
    small(&world, "bad", "  packages: {add: [nosuch]}\n");
    let said = build(&world, &["--tag", "small", "--jobs", "3", "office-router"]);
    assert_eq!(said.0.status.code(), Some(2), "{}", said.words());
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    let names: Vec<String> = outcomes(&report).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a1", "a2", "a3", "a4", "office-router", "same-as-a1"]);
    assert_eq!(report["failed"][0]["name"], "bad");
    assert_eq!(report["failed"][0]["failure"]["class"], "spec");
    assert_eq!(said.tasks("unpack"), 1);
    // Two that ask for the same share it.
    assert_eq!(kept(&world), 5);
    let recipe = |at: usize| &report["firmware"][at]["recipe"];
    assert_eq!(recipe(0), recipe(5));
    // One that is deprecated is built only when it is named.
    world.run(&["openwrt", "profiles", "deprecate", "office-router", "--why", "old"]).report();
    let all: Vec<String> = {
        fs::remove_file(world.catalog().join("specs/bad.yaml")).unwrap();
        let report = build(&world, &["--all"]).report();
        outcomes(&report).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(all, ["a1", "a2", "a3", "a4", "same-as-a1"]);
    let named = build(&world, &["office-router"]);
    assert!(named.words().contains("office-router is deprecated: old"), "{}", named.words());
    assert_eq!(build(&world, &["--tag", "nobody"]).error()["class"], "spec");
    assert_eq!(build(&world, &["ofice-router"]).error()["suggestion"], "Did you mean office-router?");
}

#[test]
fn failures_are_read_from_what_make_said() {
    let world = world();
    for (packages, class, code, words) in [
        ("nosuch", "spec", "PKG_UNAVAILABLE", "nosuch"),
        ("broken", "spec", "PKG_UNAVAILABLE", "cannot find dependency libmissing for broken"),
        ("clash", "spec", "COMPAT_ERROR", "check_data_file_clashes"),
        ("badscript", "upstream", "E2003", "has failed with exit code 3"),
        ("damaged", "upstream", "E4002", "Checksum or size mismatch"),
        ("big", "limit", "LIMIT_EXCEEDED", "is too big:"),
    ] {
        small(&world, "ap", &format!("  packages: {{add: [{packages}]}}\n"));
        failed(&world, packages, class, code, words);
    }
    small(&world, "ap", "  profile: x\n");
    let text = fs::read_to_string(world.catalog().join("specs/ap.yaml")).unwrap();
    write(
        &world,
        "specs/ap.yaml",
        &text.replace("  profile: x\n", "").replace("netgear_r6260", "netgear_r9999"),
    );
    failed(&world, "another device", "spec", "E1001", "does not exist!");
    // The same from apk.
    for (packages, class, code, words) in [
        ("nosuch", "spec", "PKG_UNAVAILABLE", "nosuch (no such package):"),
        ("broken", "spec", "PKG_UNAVAILABLE", "libmissing (no such package):"),
        ("enemy", "spec", "COMPAT_ERROR", "conflicts: busybox"),
        ("clash", "spec", "COMPAT_ERROR", "trying to overwrite bin/busybox owned by busybox"),
        ("damaged", "upstream", "E4002", "file integrity error"),
    ] {
        small(&world, "ap", &format!("  packages: {{add: [{packages}]}}\n"));
        let text = fs::read_to_string(world.catalog().join("specs/ap.yaml")).unwrap();
        let text = text.replace("24.10.5", "snapshot").replace("ramips", "x86").replace("mt7621", "64");
        write(&world, "specs/ap.yaml", &text.replace("netgear_r6260", "generic"));
        failed(&world, packages, class, code, words);
    }
    assert_eq!(kept(&world), 0);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

fn failed(world: &World, case: &str, class: &str, code: &str, words: &str) {
    let said = build(world, &["ap"]);
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    let failure = &report["failed"][0]["failure"];
    assert_eq!((&failure["class"], &failure["code"]), (&json!(class), &json!(code)), "{case}: {report}");
    let details = failure["details"].as_str().unwrap();
    assert!(details.lines().next().unwrap().contains(words), "{case}: {details}");
    assert!(failure["hint"].is_string(), "{case}");
}

/// The office's router with a package of a repository that is signed by the key that the profile names;
/// the repository, its server, and the profile's text.
pub fn with_feed() -> (World, PathBuf, Web, String) {
    let world = office();
    let feed = world.path().join("feed");
    fs::create_dir_all(&feed).unwrap();
    let all = world.path().join("all");
    fs::create_dir_all(&all).unwrap();
    super::packages::write(&all);
    fs::copy(all.join("ppp_2.5.1-r1.ipk"), feed.join("extra_1.0-r1.ipk")).unwrap();
    let sha256 = Digest::of(fs::read(feed.join("extra_1.0-r1.ipk")).unwrap()).hex();
    let list = format!("extra 1.0-r1 {sha256} . .\n");
    fs::write(feed.join("Packages"), &list).unwrap();
    fs::write(feed.join("Packages.sig"), world.key.sign(list.as_bytes())).unwrap();
    let web = Web::start(&feed);
    let text = ROUTER.replace("https://packages.example.org/openwrt", web.url.trim_end_matches('/'));
    let text = text.replace("[luci, tmux]", "[luci, extra]");
    write(&world, "specs/router.yaml", &text);
    world.ensure("24.10.5", "ramips/mt7621").report();
    (world, feed, web, text)
}

#[test]
fn packages_of_servers_are_fetched_before_and_kept() {
    let (world, feed, web, text) = with_feed();
    // Without network there is nothing to build it of, and the profile is not at fault.
    let offline = ["--offline", "openwrt", "build", "office-router"];
    let said = world.run(&offline);
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    assert_eq!(report["failed"][0]["failure"]["class"], "upstream", "{report}");
    assert_eq!(web.requests(), Vec::<String>::new());

    let report = build(&world, &["office-router"]).report();
    let record = &report["firmware"][0]["record"];
    assert_eq!(record["network"], "fetch");
    let packages = record["packages"].as_array().unwrap();
    assert!(packages.iter().any(|package| package["name"] == "extra"), "{record}");
    let fetched = |requests: Vec<String>| requests.iter().filter(|r| r.contains("extra_1.0")).count();
    assert_eq!(fetched(web.requests()), 1);
    // Another build finds what the first one fetched, also without network.
    write(&world, "specs/router.yaml", &text.replace("[odhcpd]", "[dropbear]"));
    let report = world.run(&offline).report();
    assert_eq!(
        (&report["firmware"][0]["outcome"], &report["firmware"][0]["record"]["network"]),
        (&json!("built"), &json!("none"))
    );
    assert_eq!(web.requests(), Vec::<String>::new());
    // An index by another key: the word that decides is the signature's.
    let list = fs::read(feed.join("Packages")).unwrap();
    fs::write(feed.join("Packages.sig"), super::fixture::Usign::new(9).sign(&list)).unwrap();
    write(&world, "specs/router.yaml", &text.replace("64MiB", "65MiB"));
    let said = build(&world, &["office-router"]);
    assert_eq!(said.0.status.code(), Some(7), "{}", said.words());
    assert!(said.words().contains("Signature check failed."), "{}", said.words());
}

#[test]
fn equal_requests_at_once_make_one_build() {
    let world = world();
    small(&world, "ap", "  packages: {add: [slow]}\n");
    world.ensure("24.10.5", "ramips/mt7621").report();
    let start = || {
        let mut command = world.bootwright(&["openwrt", "build", "ap"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..4).map(|_| start()).collect();
    let said: Vec<Said> = running.into_iter().map(|child| Said(child.wait_with_output().unwrap())).collect();
    let built = said.iter().filter(|said| outcomes(&said.report())[0].1 == "built").count();
    assert_eq!(built, 1);
    assert_eq!(said.iter().map(|said| said.tasks("build")).sum::<usize>(), 1);
    assert_eq!(kept(&world), 1);
}

#[test]
fn killed_anywhere_nothing_is_half_there() {
    for point in [Point::FolderMade, Point::FirmwareMade, Point::FirmwareSealed, Point::FirmwareKept] {
        let world = world();
        world.ensure("24.10.5", "ramips/mt7621").report();
        let name = point.name();
        let mut killed = world.bootwright(&["openwrt", "build", "office-router"]);
        let killed = Said(killed.env("BOOTWRIGHT_STOP_AT", name).output().unwrap());
        assert_eq!(killed.0.status.signal(), Some(9), "{name}: {}", killed.words());
        let whole = point == Point::FirmwareKept;
        assert_eq!(kept(&world), usize::from(whole), "{name}");
        let report = build(&world, &["office-router"]).report();
        assert_eq!(outcomes(&report)[0].1, if whole { "reused" } else { "built" }, "{name}");
        assert_eq!(world.leftovers(), Vec::<String>::new(), "{name}");
        assert_eq!(world.run(&["openwrt", "builder", "verify"]).report()["damaged"], json!([]));
    }
}

#[test]
fn killed_when_packages_are_there_they_are_not_fetched_twice() {
    let (world, _feed, web, _) = with_feed();
    let mut killed = world.bootwright(&["openwrt", "build", "office-router"]);
    let killed = killed.env("BOOTWRIGHT_STOP_AT", Point::FirmwareFetched.name()).output().unwrap();
    assert_eq!(killed.status.signal(), Some(9));
    let report = build(&world, &["office-router"]).report();
    assert_eq!(outcomes(&report)[0].1, "built");
    let fetched = web.requests().iter().filter(|request| request.contains("extra_1.0")).count();
    assert_eq!(fetched, 1);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn make_ends_with_us() {
    let world = world();
    small(&world, "ap", "  packages: {add: [slow]}\n");
    world.ensure("24.10.5", "ramips/mt7621").report();
    let mut running = world.bootwright(&["openwrt", "build", "ap"]);
    let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // What runs below the world's own path names it in its arguments: bwrap binds from there.
    let path = world.path().to_str().unwrap().to_owned();
    let sandboxes = || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let line = fs::read(entry.unwrap().path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            (line.starts_with("bwrap") && line.contains(&path)).then_some(line)
        });
        processes.count()
    };
    let wait = |wanted: &dyn Fn(usize) -> bool| {
        let began = std::time::Instant::now();
        while !wanted(sandboxes()) {
            assert!(began.elapsed().as_secs() < 120, "it did not come to that");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    wait(&|n| n > 0);
    running.kill().unwrap();
    running.wait().unwrap();
    wait(&|n| n == 0);
    assert_eq!(kept(&world), 0);
    assert_eq!(outcomes(&build(&world, &["ap"]).report())[0].1, "built");
}

#[test]
fn damage_is_found_and_made_good() {
    let world = world();
    let report = build(&world, &["office-router"]).report();
    let root = PathBuf::from(report["firmware"][0]["path"].as_str().unwrap());
    fs::write(root.join("sha256sums"), "other\n").unwrap();
    let again = build(&world, &["office-router"]);
    assert_eq!(outcomes(&again.report())[0].1, "built");
    assert!(again.words().contains("is damaged"), "{}", again.words());
    // A record of something else does not count either.
    let record = root.with_file_name("firmware.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("netgear_r6220\",\"pack", "netgear_r6260\",\"pack")).unwrap();
    assert_eq!(outcomes(&build(&world, &["office-router"]).report())[0].1, "built");
}
