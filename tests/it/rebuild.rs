//! A release built again in a clean place: the same bytes, or the place where they differ.

use crate::crash::world::World;
use bootwright::build::cache::seal;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The folder of the release that the report of a round names.
fn published(world: &World) -> PathBuf {
    let said = world.reconcile();
    assert!(said.output.status.success(), "{}", said.words());
    world.store().join("tiny").join(said.published().first().expect("something was published"))
}

/// The exit code and the report of `rebuild`.
fn rebuilt(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let said = world.run(&[&["rebuild"], args].concat());
    (said.output.status.code(), said.report())
}

fn verdicts(folder: &std::path::Path) -> usize {
    fs::read_to_string(folder.join("rebuilds.intoto.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn a_release_is_reproduced_and_the_verdict_is_kept() {
    let world = World::new("[oci, rootfs]");
    world.write("specs/overlays/tiny/etc/motd", "hello\n");
    world.commit("A greeting");
    let folder = published(&world);
    let (code, report) = rebuilt(&world, &["tiny@edge", "--keep", "mine"]);
    assert_eq!((code, &report["reproduced"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert_eq!(report["files"].as_array().unwrap().len(), 2);
    assert_eq!(fs::read_dir(world.dir.join("mine")).unwrap().count(), 2, "the files of this build");
    assert_eq!(verdicts(&folder), 1);
    let shown = world.run(&["release", "show", "tiny"]).report();
    assert_eq!(shown["rebuilds"][0]["files"][0]["rebuilt"], report["files"][0]["rebuilt"], "{shown:#}");
    assert!(world.run(&["release", "verify", "tiny"]).output.status.success());
    // The verdict does not count as damage, and nothing of the rebuild stays.
    assert!(world.reconcile().published().is_empty());
    assert_eq!(crate::crash::world::temporary(&world.cache()), Vec::<PathBuf>::new());

    // Somebody with a copy of the files and a key of their own; without a key only a look.
    let copy = world.dir.join("copy");
    let fetched = world.run(&["release", "fetch", "tiny@edge", "--to", "copy"]);
    assert!(fetched.output.status.success(), "{}", fetched.words());
    let (code, report) = rebuilt(&world, &["./copy", "--unsigned"]);
    assert_eq!((code, &report["written"]), (Some(0), &Value::Null), "{report:#}");
    assert_eq!(verdicts(&copy), 0);
    fs::write(copy.join("lock.yaml"), "lockVersion: 1\n").unwrap();
    let refused = world.run(&["rebuild", "./copy", "--unsigned"]);
    assert!(!refused.output.status.success(), "inputs that the manifest does not list");
}

/// A layer that was altered in the cache goes into a release that looks well: only whoever
/// builds it from the start can know.
#[test]
fn what_a_poisoned_cache_published_is_told_by_place() {
    let world = World::new("[oci, rootfs]");
    published(&world);
    let layers = fs::read_dir(world.cache().join("layers")).unwrap().flatten();
    let file = layers.map(|l| l.path().join("root/etc/hostname")).find(|p| p.is_file()).expect("a host name");
    fs::write(&file, fs::read_to_string(&file).unwrap().to_uppercase()).unwrap();
    // Whoever can write there can seal it again.
    seal::seal_tree(file.ancestors().nth(3).unwrap()).unwrap();
    world.write("specs/overlays/tiny/etc/motd", "hello\n");
    world.commit("A greeting");
    let folder = published(&world);
    let (code, report) = rebuilt(&world, &["tiny"]);
    assert_eq!((code, &report["reproduced"]), (Some(7), &Value::Bool(false)), "{report:#}");
    let files = report["files"].as_array().unwrap();
    let root = files.iter().find(|f| f["name"].as_str().unwrap().contains("rootfs")).unwrap();
    let place = root["difference"]["place"][0].as_str().unwrap();
    assert!(place.ends_with("etc/hostname"), "{report:#}");
    assert_eq!(verdicts(&folder), 1, "bad verdicts are kept too");
}
