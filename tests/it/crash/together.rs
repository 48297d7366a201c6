//! Several at once on the same things.

use super::matrix::{both_are_valid, published_once};
use super::reader::Watching;
use super::starved::stands_still;
use super::world::{Said, World, bootwright, nothing_is_about, said, spec, temporary};
use std::fs;
use std::process::{Child, Stdio};

fn start(world: &World, args: &[&str], stop: Option<(&str, &str)>) -> Child {
    let mut command = bootwright(&world.dir, &[&["--output", "json"], args].concat());
    if let Some((at, how)) = stop {
        command.env("BOOTWRIGHT_STOP_AT", at).env("BOOTWRIGHT_STOP_HOW", how);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn go_on(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
}

fn ended(child: Child) -> Said {
    said(child.wait_with_output().unwrap())
}

fn builds(said: &Said) -> usize {
    said.tasks().values().filter(|outcome| outcome.starts_with("built")).count()
}

#[test]
fn two_reconcilers_build_an_image_once() {
    let world = published_once();
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let (a, b) = (start(&world, &["reconcile"], None), start(&world, &["reconcile"], None));
    let (a, b) = (ended(a), ended(b));
    for said in [&a, &b] {
        assert!(said.output.status.success(), "{}", said.words());
    }
    assert_eq!(a.published().len() + b.published().len(), 1, "{}\n{}", a.words(), b.words());
    assert!(builds(&a) == 0 || builds(&b) == 0, "{}\n{}", a.words(), b.words());
    nothing_is_about(&world, "two reconcilers");
    assert_eq!(both_are_valid(&world, "two reconcilers"), 2);
    watching.end("two reconcilers");
}

#[test]
fn who_comes_late_finds_it_done() {
    let world = published_once();
    // One has planned and not begun when the other one does everything.
    let late = start(&world, &["reconcile"], Some(("lock.kept", "pause")));
    stands_still(late.id());
    let first = world.reconcile();
    assert_eq!(first.published().len(), 1, "{}", first.words());
    go_on(&late);
    let late = ended(late);
    assert!(late.output.status.success(), "{}", late.words());
    assert_eq!((late.published().len(), builds(&late)), (0, 0), "{}", late.words());
    assert_eq!(both_are_valid(&world, "a late one"), 2);
}

#[test]
fn one_that_stands_still_is_left_its_image() {
    let world = published_once();
    let first = start(&world, &["reconcile"], Some(("layer.kept", "pause")));
    stands_still(first.id());
    let second = world.reconcile();
    assert!(second.output.status.success(), "{}", second.words());
    assert!(
        second.published().is_empty() && second.words().contains("another process"),
        "{}",
        second.words()
    );
    go_on(&first);
    let first = ended(first);
    assert_eq!(first.published().len(), 1, "{}", first.words());
    assert_eq!(both_are_valid(&world, "one at a time"), 2);
}

#[test]
fn two_catalogs_share_a_store_and_a_cache() {
    // Two images each: they share all packages and all layers but the top ones.
    let one = published_once();
    let two = World::new("[oci]");
    let settings = one.settings(one.store().to_str().unwrap(), one.cache().to_str().unwrap());
    two.write("bootwright.yaml", &settings);
    fs::remove_file(two.dir.join("specs/tiny.yaml")).unwrap();
    for name in ["left", "right"] {
        two.write(&format!("specs/{name}.yaml"), &spec(name, "[oci]"));
    }
    for key in ["keys/bootwright.key", "keys/bootwright.pub"] {
        fs::copy(one.dir.join(key), two.dir.join(key)).unwrap();
    }
    two.commit("Two more images");
    let watching = Watching::start(&one.store(), &one.dir.join("keys/bootwright.pub"));
    let (a, b) = (start(&one, &["reconcile"], None), start(&two, &["reconcile", "--jobs", "2"], None));
    let (a, b) = (ended(a), ended(b));
    assert!(a.output.status.success() && b.output.status.success(), "{}\n{}", a.words(), b.words());
    assert_eq!((a.published().len(), b.published().len()), (1, 2), "{}\n{}", a.words(), b.words());
    nothing_is_about(&one, "two catalogs");
    nothing_is_about(&two, "two catalogs");
    for world in [&one, &two] {
        let left = temporary(&world.cache());
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(temporary(&one.store()).is_empty());
    for name in ["tiny", "left", "right"] {
        let verified = one.run(&["release", "verify", &format!("{name}@edge")]);
        assert!(verified.output.status.success(), "{}", verified.words());
    }
    watching.end("two catalogs");
    for world in [&one, &two] {
        let idle = world.reconcile();
        assert!(idle.published().is_empty() && idle.output.status.success(), "{}", idle.words());
    }
}
