//! Several that want the same builder, and processes that are killed on the way to it.

use super::fixture::{Said, World};
use super::make_info;
use super::web::Web;
use bootwright::effects::Point;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

/// The points of a builder's way into the cache.
const POINTS: [Point; 8] = [
    Point::FolderMade,
    Point::PackagePart,
    Point::PackageFetched,
    Point::PackageStored,
    Point::BuilderUnpacked,
    Point::FileWritten,
    Point::BuilderSealed,
    Point::BuilderKept,
];

#[test]
fn killed_anywhere_the_next_run_ends_well() {
    for point in POINTS {
        let world = World::new();
        let web = Web::start(&world.server());
        world.settings(&[&web.url], "keys: [keys/openwrt.pub]");
        let name = point.name();
        let mut killed = world.bootwright(&["openwrt", "builder", "ensure", "24.10.5", "x86/64"]);
        let killed = Said(killed.env("BOOTWRIGHT_STOP_AT", name).output().unwrap());
        assert_eq!(killed.0.status.signal(), Some(9), "{name}: {}", killed.words());
        let listed = world.run(&["openwrt", "builder", "list"]).report();
        let kept = point == Point::BuilderKept;
        assert_eq!(listed["builders"].as_array().unwrap().len(), usize::from(kept), "{name}: {listed}");
        web.requests();
        let said = world.ensure("24.10.5", "x86/64");
        let report = said.report();
        assert_eq!(report["made"], !kept, "{name}");
        let downloads =
            web.requests().iter().filter(|r| r.starts_with("GET") && r.contains(".tar.zst")).count();
        let stored = [Point::PackageStored, Point::BuilderUnpacked, Point::FileWritten, Point::BuilderSealed];
        // What was whole is not fetched again.
        if kept || stored.contains(&point) {
            assert_eq!(downloads, 0, "{name}");
        }
        assert!(make_info(Path::new(report["builder"]["path"].as_str().unwrap())).contains("Current Target"));
        assert_eq!(world.leftovers(), Vec::<String>::new(), "{name}");
        assert_eq!(world.run(&["openwrt", "builder", "verify"]).report()["checked"], 1, "{name}");
    }
}

#[test]
fn several_at_once_fetch_and_unpack_once() {
    let world = World::new();
    let web = Web::start(&world.server());
    world.settings(&[&web.url], "keys: [keys/openwrt.pub]");
    let start = || {
        let mut command = world.bootwright(&["openwrt", "builder", "ensure", "24.10.5", "x86/64"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..4).map(|_| start()).collect();
    let said: Vec<Said> = running.into_iter().map(|child| Said(child.wait_with_output().unwrap())).collect();
    let made = said.iter().filter(|said| said.report()["made"] == true).count();
    assert_eq!(made, 1);
    assert_eq!(said.iter().map(|said| said.tasks("unpack")).sum::<usize>(), 1);
    let downloads = web.requests().iter().filter(|r| r.starts_with("GET") && r.contains(".tar.zst")).count();
    assert_eq!(downloads, 1);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn one_that_is_stopped_holds_the_others_up_and_its_death_frees_them() {
    let world = World::new();
    let mut first = world.bootwright(&["openwrt", "builder", "ensure", "24.10.5", "x86/64"]);
    first.env("BOOTWRIGHT_STOP_AT", "builder.unpacked").env("BOOTWRIGHT_STOP_HOW", "pause");
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", first.id());
    let stopped = || std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") T "));
    while !stopped() {
        assert!(first.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let list = world.run(&["openwrt", "builder", "list"]).report();
    assert_eq!(list["builders"][0]["state"], "fetching", "{list}");
    let mut second = world.bootwright(&["openwrt", "builder", "ensure", "24.10.5", "x86/64"]);
    let mut second = second.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(second.try_wait().unwrap().is_none(), "it did not wait");
    first.kill().unwrap();
    first.wait().unwrap();
    let said = Said(second.wait_with_output().unwrap());
    assert_eq!(said.report()["made"], true);
    // The work folder of the one that died was in use when the second looked; the next run sweeps.
    world.run(&["openwrt", "builder", "list"]).report();
    assert_eq!(world.leftovers(), Vec::<String>::new());
}
