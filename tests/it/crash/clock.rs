//! A clock that jumps: nothing is waited for that lies behind, and the newest stays the newest.
//!
//! faketime(1) shows the real program another time; what it starts keeps the real one.

use super::matrix::{both_are_valid, published_once};
use super::reader::Watching;
use super::world::{Said, World, said, spec};
use super::{command, words};
use serde_json::Value;

/// The program as it runs when the clock is off by so much: `-400d`.
fn at(offset: &str, world: &World, args: &[&str], stop: Option<&str>) -> Said {
    let mut command = command("faketime");
    command
        .current_dir(&world.dir)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .args(["-f", offset, env!("CARGO_BIN_EXE_bootwright"), "--output", "json"])
        .args(args);
    if let Some(stop) = stop {
        command.env("BOOTWRIGHT_STOP_AT", stop);
    }
    said(command.output().expect("faketime is installed"))
}

fn listed(world: &World) -> Vec<Value> {
    world.run(&["release", "list"]).report()["images"][0]["releases"].as_array().cloned().unwrap()
}

fn index_time(world: &World) -> String {
    let text = std::fs::read(world.store().join("index.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["updated"].as_str().unwrap().to_owned()
}

#[test]
fn set_back_the_newest_stays_the_newest() {
    let world = published_once();
    let (first, time) = (listed(&world)[0].clone(), index_time(&world));
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let said = at("-400d", &world, &["reconcile"], None);
    assert!(said.output.status.success(), "{}", said.words());
    let newest = said.published()[0].clone();
    assert_ne!(first["version"], Value::from(newest.as_str()));
    assert_eq!(listed(&world)[0]["version"], Value::from(newest.as_str()));
    assert!(index_time(&world) >= time, "the index went back in time");
    for offset in ["-400d", "+0", "+400d"] {
        let idle = at(offset, &world, &["reconcile"], None);
        assert!(idle.output.status.success() && idle.published().is_empty(), "{offset}: {}", idle.words());
    }
    assert_eq!(both_are_valid(&world, "a clock that was set back"), 2);
    watching.end("a clock that was set back");
}

#[test]
fn killed_in_the_future_and_started_now() {
    let world = published_once();
    let killed = at("+400d", &world, &["reconcile"], Some("layer.kept:2"));
    assert!(!killed.output.status.success(), "{}", words(&killed.output));
    let again = world.reconcile();
    assert_eq!(again.published().len(), 1, "a lease of the future: {}", again.words());
    assert_eq!(both_are_valid(&world, "killed in the future"), 2);
}

#[test]
fn a_failure_of_the_future_holds_nothing_up() {
    let world = published_once();
    let settings = world.settings("releases", ".bootwright");
    world.write("bootwright.yaml", &settings.replace("http://127", "http://0.0.0.0:1/127"));
    world.commit("A mirror that is not there");
    let failed = at("+400d", &world, &["reconcile"], None);
    assert_eq!(failed.output.status.code(), Some(4), "{}", failed.words());
    world.write("bootwright.yaml", &settings);
    world.commit("The mirror is back");
    let again = world.reconcile();
    assert_eq!(again.published().len(), 1, "{}", again.words());
}

#[test]
fn a_schedule_looks_once_and_not_for_ever() {
    let world = World::new("[oci]");
    let weekly =
        spec("tiny", "[oci]").replace("  channel: edge\n", "  channel: edge\n  schedule: \"0 3 * * 1\"\n");
    world.write("specs/tiny.yaml", &weekly);
    world.commit("Every week");
    assert_eq!(at("+400d", &world, &["reconcile"], None).published().len(), 1);
    let looked = |said: &Said| said.tasks().contains_key("lock tiny");
    let first = world.reconcile();
    assert!(first.output.status.success() && looked(&first), "no look after a year: {}", first.words());
    let second = world.reconcile();
    assert!(second.output.status.success() && !looked(&second), "it looks again: {}", second.words());
}
