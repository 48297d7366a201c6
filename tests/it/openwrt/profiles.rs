//! Device profiles, with the real program: made, listed, checked, changed, handed on.

use super::fixture::World;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A profile of the catalog's, with everything that one can have.
pub const ROUTER: &str = "\
apiVersion: bootwright/v1
kind: DeviceProfile
metadata:
  name: office-router
  description: The one in the rack
  tags: [office, edge]
spec:
  release: 24.10.5
  target: ramips
  subtarget: mt7621
  profile: netgear_r6220
  packages: {add: [luci, tmux], remove: [ppp]}
  firstBootScript: specs/scripts/first.sh
  rootfsSize: 64MiB
  disabledServices: [odhcpd]
  repositories:
    - {name: ours, url: \"https://packages.example.org/openwrt\", key: specs/keys/ours.pub}
  board: netgear,r6220
";

/// A catalog with that profile, its overlay, script and key.
pub fn office() -> World {
    let world = World::new();
    let write = |path: &str, text: &str| {
        let path = world.catalog().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("specs/router.yaml", ROUTER);
    write("specs/scripts/first.sh", "uci set system.@system[0].hostname=office\nuci commit\n");
    write("specs/keys/ours.pub", &world.key.public());
    write("specs/overlays/office-router/etc/banner", "ours\n");
    write("specs/overlays/office-router/lib/upgrade/keep.d/ours", "/etc/banner\n");
    write("specs/overlays/office-router/usr/bin/hi", "#!/bin/sh\necho hi\n");
    let tool = world.catalog().join("specs/overlays/office-router/usr/bin/hi");
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    symlink("hi", tool.with_file_name("hello")).unwrap();
    world
}

fn names(report: &Value) -> Vec<&str> {
    report["profiles"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect()
}

#[test]
fn a_profile_is_checked_listed_found_and_shown() {
    let world = office();
    let check = world.run(&["check"]).report();
    assert_eq!(check["devices"][0]["name"], "office-router", "{check}");
    assert_eq!(check["problems"], json!([]));
    let run = |args: &[&str]| world.run(&[&["openwrt", "profiles"], args].concat()).report();
    for args in [
        &["list"][..],
        &["list", "--tag", "office"],
        &["list", "--tag", "lab", "--tag", "edge"],
        &["list", "--release", "24.10.5", "--target", "ramips/mt7621"],
        &["search", "RACK", "luci"],
        &["search", "ramips/mt7621", "--tag", "office"],
    ] {
        assert_eq!(names(&run(args)), ["office-router"], "{args:?}");
    }
    for args in
        [&["list", "--tag", "lab"][..], &["list", "--release", "24.10"], &["search", "rack", "nowhere"]]
    {
        assert!(names(&run(args)).is_empty(), "{args:?}");
    }
    let show = run(&["show", "office-router"]);
    assert_eq!(show["spec"]["packages"], json!({"add": ["luci", "tmux"], "remove": ["ppp"]}));
    assert_eq!(show["spec"]["rootfsSize"], "64MiB");
    let overlay = ["/etc/banner", "/lib/upgrade/keep.d/ours", "/usr/bin/hello", "/usr/bin/hi"];
    assert_eq!(show["overlay"], json!(overlay));
    let error = world.run(&["openwrt", "profiles", "show", "ofice-router"]).error();
    assert_eq!(
        (&error["class"], &error["suggestion"]),
        (&json!("spec"), &json!("Did you mean office-router?"))
    );
    // What it is about is told too.
    let said = world.run(&["explain", "spec.rootfsSize"]).report();
    assert_eq!(said["document"], "DeviceProfile", "{said}");
    // A plan is made without it, and says nothing wrong about its files.
    let plan = world.run(&["plan"]);
    assert!(plan.0.status.success(), "{}", plan.words());
}

#[test]
fn one_that_is_wrong_is_refused_with_its_place() {
    let world = office();
    for (from, to, field) in [
        ("release: 24.10.5", "release: 24.10.5.1", "spec.release"),
        ("release: 24.10.5", "release: $(id)", "spec.release"),
        ("target: ramips", "target: ../x", "spec.target"),
        ("subtarget: mt7621", "subtarget: a b", "spec.subtarget"),
        ("netgear_r6220", "\"$(shell id)\"", "spec.profile"),
        ("[luci, tmux]", "[luci, tmux=3.5]", "spec.packages.add[1]"),
        ("[luci, tmux]", "[luci, \"a; id\"]", "spec.packages.add[1]"),
        ("[luci, tmux]", "[luci, \"a\\nb\"]", "spec.packages.add[1]"),
        ("[luci, tmux]", "[luci, -tmux]", "spec.packages.add[1]"),
        ("[luci, tmux]", "[luci, luci]", "spec.packages.add[1]"),
        ("[luci, tmux]", "[luci, ppp]", "spec.packages.remove[0]"),
        ("64MiB", "100", "spec.rootfsSize"),
        ("64MiB", "0MiB", "spec.rootfsSize"),
        ("[odhcpd]", "[\"'odhcpd'\"]", "spec.disabledServices[0]"),
        ("https://packages.example.org/openwrt", "file:///srv", "spec.repositories[0].url"),
        ("ours.pub", "none.pub", "spec.repositories[0].key"),
        ("specs/keys/ours.pub", "specs/scripts/first.sh", "spec.repositories[0].key"),
        ("scripts/first.sh", "scripts/fisrt.sh", "spec.firstBootScript"),
        ("netgear,r6220", "\"a`id`\"", "spec.board"),
        ("tags: [office, edge]", "tags: [office, office]", "metadata.tags[1]"),
        ("packages:", "pakages:", "spec.pakages"),
        ("name: office-router", "name: Office", "metadata.name"),
    ] {
        assert!(ROUTER.contains(from), "{from}");
        fs::write(world.catalog().join("specs/router.yaml"), ROUTER.replace(from, to)).unwrap();
        let said = world.run(&["check"]);
        assert_eq!(said.0.status.code(), Some(2), "{to}: {}", said.words());
        let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
        let problems = report["problems"].as_array().unwrap();
        let found = problems.iter().find(|p| p["field"] == field);
        let found = found.unwrap_or_else(|| panic!("{to}: {report}"));
        assert_eq!(found["file"], "specs/router.yaml");
        assert!(found["line"].as_u64().is_some() && found["suggestion"].is_string(), "{found}");
    }
}

#[test]
fn overlays_are_the_devices_own_and_fit_one() {
    let world = office();
    let refused = |path: &str, words: &str| {
        let path = world.catalog().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x\n").unwrap();
        let said = world.run(&["check"]);
        assert_eq!(said.0.status.code(), Some(2), "{}", said.words());
        assert!(said.words().contains(words), "{words}: {}", said.words());
        fs::remove_file(&path).unwrap();
    };
    refused("specs/overlays/office-router/tmp/x", "nothing in /tmp is kept");
    refused("specs/overlays/office-router/var/run/x", "nothing in /var is kept");
    refused("specs/overlays/office-router/etc/uci-defaults/99-bootwright", "first-boot script");
    refused("specs/overlays/other/x", "this overlay is of no image");
    // Names are one space: an overlay is found by its name.
    let image = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: office-router}\nspec: {base: debian, suite: bookworm, outputs: [rootfs], channel: edge}\n";
    fs::write(world.catalog().join("specs/zz.yaml"), image).unwrap();
    let said = world.run(&["check"]);
    assert!(said.words().contains("there is a device profile with the name"), "{}", said.words());
}

#[test]
fn new_ones_are_made_of_what_the_release_offers() {
    let world = World::new();
    let new = ["openwrt", "profiles", "new"];
    let at = ["--release", "24.10", "--target", "ramips/mt7621"];
    let offered = world.run(&[&new[..], &at, &["--offered", "NETGEAR"]].concat()).report();
    assert_eq!(offered["release"], "24.10.5");
    let devices: Vec<&str> =
        offered["devices"].as_array().unwrap().iter().map(|d| d["profile"].as_str().unwrap()).collect();
    assert_eq!(devices, ["netgear_r6220", "netgear_r6260"]);
    let error = world.run(&[&new[..], &["ap"], &at, &["--profile", "netgear_r6200"]].concat()).error();
    assert_eq!(error["class"], "spec");
    assert!(error["suggestion"].as_str().unwrap().contains("netgear_r6220"), "{error}");
    assert!(!world.catalog().join("specs/ap.yaml").exists());
    let error =
        world.run(&[&new[..], &["ap"], &at[..2], &["--target", "ramips/mt7622", "--profile", "x"]].concat());
    assert!(error.error()["suggestion"].as_str().unwrap().contains("ramips/mt7621"), "{}", error.words());

    let report = world
        .run(
            &[&new[..], &["ap"], &at, &["--profile", "netgear_r6220", "--add", "luci", "--tag", "lab"]]
                .concat(),
        )
        .report();
    assert_eq!((&report["files"], &report["asked"]), (&json!(["specs/ap.yaml"]), &json!(true)));
    let shown = world.run(&["openwrt", "profiles", "show", "ap"]).report();
    assert_eq!(
        (&shown["spec"]["board"], &shown["description"]),
        (&json!("netgear,r6220"), &json!("NETGEAR R6220"))
    );
    assert_eq!(shown["spec"]["release"], "24.10");
    // A name is taken once.
    let again = world.run(&[&new[..], &["ap"], &at, &["--profile", "netgear_r6220"]].concat()).error();
    assert!(again["message"].as_str().unwrap().contains("already"), "{again}");
    // Somebody changed what the list is signed for.
    let json = world.folder("24.10.5", "ramips/mt7621").join("profiles.json");
    fs::write(&json, fs::read_to_string(&json).unwrap().replace("R6220", "R6221")).unwrap();
    let error = world.run(&[&new[..], &at, &["--offered"]].concat()).error();
    assert_eq!(error["code"], "E3003", "{error}");
    // Where nobody can be asked it is made all the same, and said.
    world.write_settings("");
    let report = world.run(&[&new[..], &["ap2"], &at, &["--profile", "anything"]].concat()).report();
    assert_eq!(report["asked"], false);
}

#[test]
fn they_are_cloned_deprecated_exported_and_imported_whole() {
    let world = office();
    let profiles = |world: &World, args: &[&str]| world.run(&[&["openwrt", "profiles"], args].concat());
    profiles(&world, &["clone", "office-router", "lab-router", "--release", "25.12"]).report();
    let lab = profiles(&world, &["show", "lab-router"]).report();
    let office = profiles(&world, &["show", "office-router"]).report();
    assert_eq!((&lab["overlay"], &lab["spec"]["release"]), (&office["overlay"], &json!("25.12")));
    assert_eq!(lab["spec"]["packages"], office["spec"]["packages"]);

    profiles(&world, &["deprecate", "office-router", "--why", "use lab-router"]).report();
    let text = fs::read_to_string(world.catalog().join("specs/router.yaml")).unwrap();
    let rest: Vec<&str> = text.lines().filter(|line| !line.contains("deprecated")).collect();
    assert_eq!(rest, ROUTER.lines().collect::<Vec<_>>());
    let list = profiles(&world, &["list"]).report();
    assert_eq!(list["profiles"][1]["deprecated"], "use lab-router");

    let bundle = world.path().join("bundle.json");
    let to = bundle.to_str().unwrap();
    assert_eq!(
        profiles(&world, &["export", "--to", to]).report()["profiles"],
        json!(["lab-router", "office-router"])
    );
    let other = World::new();
    let report = profiles(&other, &["import", to]).report();
    assert_eq!(report["profiles"], json!(["lab-router", "office-router"]));
    for name in ["office-router", "lab-router"] {
        let (mut ours, mut theirs) =
            (profiles(&world, &["show", name]).report(), profiles(&other, &["show", name]).report());
        for shown in [&mut ours, &mut theirs] {
            shown["place"] = Value::Null;
        }
        assert_eq!(ours, theirs);
    }
    let tool = other.catalog().join("specs/overlays/office-router/usr/bin");
    assert_eq!(fs::metadata(tool.join("hi")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_link(tool.join("hello")).unwrap().to_str(), Some("hi"));
    // What is there is not written over.
    let error = profiles(&other, &["import", to]).error();
    assert!(error["message"].as_str().unwrap().contains("already"), "{error}");
}

#[test]
fn a_hostile_bundle_writes_nothing() {
    let world = office();
    let bundle = world.path().join("bundle.json");
    let to = bundle.to_str().unwrap();
    world.run(&["openwrt", "profiles", "export", "--to", to]).report();
    let good: Value = serde_json::from_str(&fs::read_to_string(&bundle).unwrap()).unwrap();
    let file =
        |path: &str, kind: &str, content: &str| json!({"path": path, "kind": kind, "content": content});
    let mut cases: Vec<(Value, &str)> = Vec::new();
    for path in [
        "specs/overlays/office-router/../../../bootwright.yaml",
        "/etc/passwd",
        "bootwright.yaml",
        "specs/overlays/other/x",
        "specs/overlays/office-router/.git/hooks/x",
        "specs/overlays/office-router/tmp/x",
        "policies/x.yaml",
    ] {
        let mut bad = good.clone();
        bad["profiles"][0]["files"].as_array_mut().unwrap().push(file(path, "file", "eA=="));
        cases.push((bad, path));
    }
    // A link, and a file that would be written through it.
    let mut bad = good.clone();
    let files = bad["profiles"][0]["files"].as_array_mut().unwrap();
    files.push(file("specs/overlays/office-router/out", "link", "L3RtcA=="));
    files.push(file("specs/overlays/office-router/out/x", "file", "eA=="));
    cases.push((bad, "through a link"));
    let mut bad = good.clone();
    bad["profiles"][0]["profile"]["spec"]["profile"] = json!("$(shell id)");
    cases.push((bad, "a name that make expands"));
    let mut bad = good.clone();
    bad["format"] = json!(2);
    cases.push((bad, "another form"));
    cases.push((json!([]), "no bundle"));
    for (bad, case) in cases {
        fs::write(&bundle, bad.to_string()).unwrap();
        let other = World::new();
        let said = other.run(&["openwrt", "profiles", "import", to]);
        assert_eq!(said.error()["class"], "spec", "{case}: {}", said.words());
        assert!(!other.catalog().join("specs").exists(), "{case}");
    }
}
