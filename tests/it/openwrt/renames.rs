//! Packages that have another name in the release that a profile moves to.

use super::building::write;
use super::fixture::World;
use super::sysupgrade::Server;
use crate::crash::command;
use serde_json::{Value, json};
use std::fs;

/// A device of a release that asks for packages by their old names.
fn world(release: &str, changes: &str) -> World {
    let world = World::new();
    world.settings(&[&world.folder_url()], &format!("keys: [keys/openwrt.pub], packageChanges: {changes}"));
    let profile = format!(
        "apiVersion: bootwright/v1\nkind: DeviceProfile\nmetadata: {{name: router}}\nspec:\n  release: {release}\n  target: x86\n  subtarget: \"64\"\n  profile: generic\n  packages:\n    add: [luci, screen, bundle]\n    remove: [dropbear-old, gone]\n"
    );
    write(&world, "specs/router.yaml", &profile);
    world
}

/// As a server of the Attended Sysupgrade API writes them.
const CHANGES: &str = r#"{"24.10": [
  {"source": "screen", "target": "tmux", "revision": 26792},
  {"source": "bundle", "target": "odhcpd", "revision": 26793},
  {"source": "bundle", "target": "ppp", "revision": 26793},
  {"source": "dropbear-old", "target": "dropbear", "revision": 26794},
  {"source": "gone", "revision": 26795, "mandatory": true}], "25.12": [], SNAPSHOT: []}"#;

fn packages(lock: &str) -> Vec<&str> {
    let asked = lock.lines().skip_while(|line| line.trim() != "packages:").skip(1);
    asked.map_while(|line| line.trim().strip_prefix("- ")).map(|name| name.trim_matches('"')).collect()
}

#[test]
fn a_profile_that_moves_to_a_release_is_followed_to_the_new_names() {
    let world = world("24.10.5", CHANGES);
    let said = world.run(&["check"]);
    let report = said.report();
    let warnings: Vec<(&Value, &Value)> =
        report["warnings"].as_array().unwrap().iter().map(|d| (&d["line"], &d["message"])).collect();
    for (line, message) in [
        (10, "screen is now tmux in 24.10.5"),
        (10, "bundle is now odhcpd and ppp in 24.10.5"),
        (11, "dropbear-old is now dropbear in 24.10.5"),
        (11, "gone is gone in 24.10.5"),
    ] {
        assert!(warnings.contains(&(&json!(line), &json!(message))), "{message}: {warnings:?}");
    }
    let report = world.run(&["lock"]);
    assert!(report.words().contains("screen is now tmux"), "{}", report.words());
    report.report();
    let lock = fs::read_to_string(world.catalog().join("specs/router.lock.yaml")).unwrap();
    assert_eq!(packages(&lock), ["luci", "odhcpd", "ppp", "tmux", "-dropbear"], "{lock}");

    let built = world.run(&["openwrt", "build", "router"]);
    assert!(built.words().contains("screen is now tmux"), "{}", built.words());
    let report = built.report();
    let names: Vec<&str> = report["firmware"][0]["record"]["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    for name in ["tmux", "odhcpd", "ppp"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(!names.contains(&"dropbear"), "{names:?}");
}

#[test]
fn a_branch_without_changes_has_the_old_names() {
    let world = world("23.05.5", CHANGES);
    let said = world.run(&["check"]);
    said.report();
    assert!(!said.words().contains("is now"), "{}", said.words());
    let error = world.run(&["lock"]).error();
    assert!(error.to_string().contains("Unknown package 'bundle'"), "{error}");
}

#[test]
fn a_lock_made_before_a_package_was_renamed_is_out_of_date() {
    let world = world("24.10.5", CHANGES);
    world.run(&["lock"]).report();
    let changed = CHANGES.replace("\"tmux\"", "\"luci-base\"");
    world.settings(&[&world.folder_url()], &format!("keys: [keys/openwrt.pub], packageChanges: {changed}"));
    let said = world.run(&["check"]);
    assert!(!said.0.status.success());
    assert!(said.words().contains("the lock is out of date"), "{}", said.words());
}

#[test]
fn changes_without_sense_are_refused() {
    for (changes, field) in [
        (r#"{"24.10.5": []}"#, "24.10.5"),
        (r#"{"../x": []}"#, "../x"),
        (r#"{"24.10": [{"source": "$(id)", "revision": 1}]}"#, "openwrt.packageChanges"),
        (r#"{"24.10": [{"source": "a", "target": "-b", "revision": 1}]}"#, "openwrt.packageChanges"),
        (r#"{"24.10": [{"source": "a"}]}"#, "revision"),
        (r#"{"24.10": {"source": "a"}}"#, "openwrt.packageChanges"),
    ] {
        let said = world("24.10.5", changes).run(&["check"]);
        assert!(!said.0.status.success(), "{changes}");
        assert!(said.words().contains(field), "{changes}: {}", said.words());
    }
}

#[test]
fn what_a_server_publishes_can_be_put_into_the_settings() {
    let ours = world("24.10.5", CHANGES);
    let server = Server::start(&ours);
    let other = world("24.10.5", "{}");
    let address = format!("http://{}", server.address);
    let mut command = command(env!("CARGO_BIN_EXE_bootwright"));
    let said = command.current_dir(other.catalog()).args(["openwrt", "changes", &address]).output().unwrap();
    let lines = String::from_utf8(said.stdout).unwrap();
    // Under the settings' own `openwrt`.
    let below = lines.strip_prefix("openwrt:\n").unwrap();
    let url = other.folder_url();
    other.write_settings(&format!("openwrt:\n  urls: [\"{url}\"]\n  keys: [keys/openwrt.pub]\n{below}"));
    let check = other.run(&["check"]);
    check.report();
    assert!(check.words().contains("bundle is now odhcpd and ppp"), "{}", check.words());
    // A file, and what is none.
    let overview = server.get("/json/v1/overview.json").body;
    fs::write(other.catalog().join("overview.json"), overview).unwrap();
    let report = other.run(&["--offline", "openwrt", "changes", "overview.json"]).report();
    assert_eq!(report["packageChanges"]["24.10"].as_array().unwrap().len(), 5);
    assert!(report["packageChanges"].get("25.12").is_none(), "{report}");
    for (from, class) in [
        ("nothing.json", "spec"),
        ("bootwright.yaml", "upstream"),
        (format!("{address}/nothing.json").as_str(), "upstream"),
    ] {
        assert_eq!(other.run(&["openwrt", "changes", from]).error()["class"], class, "{from}");
    }
    let offline = other.run(&["--offline", "openwrt", "changes", &address]).error();
    assert_eq!(offline["code"], "OFFLINE", "{offline}");
}
