//! Places that are too small, read-only or gone, and memory that ends.

use super::matrix::{both_are_valid, published_once};
use super::reader::Watching;
use super::world::{Said, World, bootwright, nothing_is_about, said, temporary};
use super::{command, words};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Sizes that are tried between "what is there" and "enough for everything".
const STEPS: u64 = 12;

/// Runs `work` with mounts that nobody else sees; they end with it.
pub fn with_private_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| {
        let thread = threads.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).expect("these tests need root");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits until something is so.
pub fn within(seconds: u64, mut is_so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while !is_so() {
        assert!(std::time::Instant::now() < until, "this took more than {seconds} s");
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

/// Puts a tmpfs of so many bytes at `place`, with what was there.
fn small(place: &Path, bytes: u64) {
    let aside = place.with_extension("aside");
    if place.exists() {
        fs::rename(place, &aside).unwrap();
    }
    fs::create_dir_all(place).unwrap();
    let options = format!("size={bytes}");
    mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
    if aside.exists() {
        let copied = command("cp").arg("-a").arg(aside.join(".")).arg(place).output().unwrap();
        assert!(copied.status.success(), "{}", words(&copied));
    }
}

fn remount(place: &Path, flags: MsFlags, options: Option<&str>) {
    mount(None::<&str>, place, None::<&str>, MsFlags::MS_REMOUNT | flags, options).unwrap();
}

/// Bytes that a folder takes on a tmpfs: whole pages.
fn taken(folder: &Path) -> u64 {
    let output =
        command("du").args(["-s", "--block-size=1", "--apparent-size"]).arg(folder).output().unwrap();
    let files = command("find").arg(folder).output().unwrap().stdout.iter().filter(|b| **b == b'\n').count();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse::<u64>().unwrap() + 4096 * files as u64
}

/// Code and class of the first failure.
fn failure(said: &Said) -> (String, String) {
    let report = said.report();
    let failure =
        if report["error"].is_object() { &report["error"] } else { &report["failed"][0]["failure"] };
    let text = |field: &str| failure[field].as_str().unwrap_or_else(|| panic!("{}", said.words())).to_owned();
    (text("code"), text("class"))
}

/// Retries at once, whatever failed before: what a person types who made room.
const BY_HAND: [&str; 3] = ["reconcile", "--force", "tiny"];

#[test]
fn a_store_that_is_too_small() {
    let world = published_once();
    let there = taken(&world.store());
    let (full, recovered) = with_private_mounts(|| {
        let mut full = 0;
        // What one more release takes, and the pages; the last size is enough.
        for step in 0..=STEPS {
            let bytes = there + there * step / STEPS;
            if step == 0 {
                small(&world.store(), bytes);
            } else {
                remount(&world.store(), MsFlags::empty(), Some(&format!("size={bytes}")));
            }
            let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
            let said = world.run(&BY_HAND);
            watching.end("a full store");
            if said.output.status.success() {
                break;
            }
            assert_eq!(failure(&said), ("E5002".to_owned(), "host".to_owned()), "{}", said.words());
            assert_eq!(said.output.status.code(), Some(5), "{}", said.words());
            assert!(said.words().to_lowercase().contains("free some space"), "{}", said.words());
            let left = temporary(&world.store());
            assert!(left.is_empty(), "left in a full store: {left:?}");
            // The cache lies on another disk: nothing of it makes room in the store.
            assert!(!said.words().contains("leftovers are removed"), "{}", said.words());
            let finished = fs::read_dir(world.cache().join("artifacts")).into_iter().flatten().flatten();
            let finished = finished.filter(|e| e.path().is_dir() && taken(&e.path()) > 100_000).count();
            assert_eq!(finished, 1, "what was built is gone: {}", said.words());
            full += 1;
        }
        remount(&world.store(), MsFlags::empty(), Some("size=1G"));
        let said = world.run(&BY_HAND);
        assert!(said.output.status.success(), "{}", said.words());
        (full, both_are_valid(&world, "a store that was too small"))
    });
    assert!(full >= STEPS / 2, "only {full} sizes were too small");
    assert_eq!(recovered, 2);
    println!("disk full: {full} sizes of the store refused, then recovered");
}

#[test]
fn a_cache_that_is_too_small() {
    let world = published_once();
    let full = with_private_mounts(|| {
        let mut full = 0;
        for step in 0..STEPS {
            let bytes = (1 << 18) << step;
            if step == 0 {
                small(&world.cache(), bytes);
            } else {
                remount(&world.cache(), MsFlags::empty(), Some(&format!("size={bytes}")));
            }
            let said = world.run(&BY_HAND);
            if said.output.status.success() {
                break;
            }
            assert_eq!(failure(&said), ("E5002".to_owned(), "host".to_owned()), "{bytes}: {}", said.words());
            assert_eq!(said.output.status.code(), Some(5), "{}", said.words());
            let freed = said.words().contains("leftovers are removed");
            assert!(freed || !said.words().contains("No space left"), "{}", said.words());
            full += 1;
        }
        // Unpacking what is verified wants room to spare.
        remount(&world.cache(), MsFlags::empty(), Some("size=2G"));
        let said = world.run(&BY_HAND);
        assert!(said.output.status.success(), "{}", said.words());
        assert!(temporary(&world.cache()).is_empty());
        full
    });
    assert_eq!(both_are_valid(&world, "a cache that was too small"), 2);
    assert!(full >= 6, "only {full} sizes were too small");
    println!("disk full: {full} sizes of the cache refused, then recovered");
}

#[test]
fn a_read_only_store_is_noticed_before_the_work() {
    let world = published_once();
    with_private_mounts(|| {
        small(&world.store(), 1 << 30);
        remount(&world.store(), MsFlags::MS_RDONLY, None);
        let said = world.run(&BY_HAND);
        assert_eq!(failure(&said), ("E5004".to_owned(), "host".to_owned()), "{}", said.words());
        assert_eq!(said.output.status.code(), Some(5), "{}", said.words());
        assert!(said.words().contains("mounted read-only"), "{}", said.words());
        assert!(said.tasks().is_empty(), "work was done for nothing: {:?}", said.tasks());
        // Looking is still possible.
        let plan = world.run(&["plan"]);
        assert!(plan.output.status.success(), "{}", plan.words());

        // In the middle of it: what was built is kept.
        remount(&world.store(), MsFlags::empty(), None);
        let said = paused(&world, "run.publishing", || remount(&world.store(), MsFlags::MS_RDONLY, None));
        assert_eq!(failure(&said), ("E5004".to_owned(), "host".to_owned()), "{}", said.words());
        remount(&world.store(), MsFlags::empty(), None);
        let said = world.run(&BY_HAND);
        assert!(said.output.status.success(), "{}", said.words());
        assert_eq!(both_are_valid(&world, "a read-only store"), 2);
    });
}

/// Reconciles, and does `then` while the program stands still at a point.
fn paused(world: &World, at: &str, then: impl FnOnce()) -> Said {
    let child = bootwright(&world.dir, &["--output", "json", "reconcile", "--force", "tiny"])
        .env("BOOTWRIGHT_STOP_AT", at)
        .env("BOOTWRIGHT_STOP_HOW", "pause")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    stands_still(child.id());
    then();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    said(child.wait_with_output().unwrap())
}

/// Waits until a process is stopped by a signal (proc(5), state `T`).
pub fn stands_still(pid: u32) {
    for _ in 0..6000 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]) {
            Some("T") => return,
            Some("Z") | None => panic!("{pid} ended before it came to its point"),
            Some(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    panic!("{pid} did not come to its point");
}

#[test]
fn a_store_that_vanishes_is_not_begun_anew() {
    for (at, unmounted) in [
        ("run.building", true),
        ("run.publishing", true),
        ("run.publishing", false),
        ("publish.renamed", false),
        ("publish.pages", false),
    ] {
        let world = published_once();
        with_private_mounts(|| {
            small(&world.store(), 1 << 30);
            let away = world.dir.join("away");
            let said = paused(&world, at, || {
                if unmounted {
                    umount2(&world.store(), MntFlags::MNT_DETACH).unwrap();
                } else {
                    // A mount point cannot be renamed: put what is in it aside, name and all.
                    fs::create_dir(&away).unwrap();
                    mount(Some(&world.store()), &away, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
                    umount2(&world.store(), MntFlags::MNT_DETACH).unwrap();
                }
            });
            assert_eq!(said.output.status.code(), Some(5), "{at}: {}", said.words());
            assert_eq!(failure(&said).1, "host", "{at}: {}", said.words());
            assert!(!world.store().join("index.dsse.json").exists(), "{at}: another store was begun");
            if !unmounted {
                mount(Some(&away), &world.store(), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
                let said = world.run(&BY_HAND);
                assert!(said.output.status.success(), "{at}: {}", said.words());
                assert_eq!(both_are_valid(&world, at), 2);
                let left = temporary(&world.store());
                assert!(left.is_empty(), "{at}: {left:?}");
            }
        });
        nothing_is_about(&world, at);
    }
}

/// Cgroups are not writable everywhere, and nothing of a small image needs much: the limit of
/// the address space is what every host has (prlimit(1)).
#[test]
fn memory_that_ends() {
    let world = published_once();
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let mut refused = 0;
    // In MiB of address space, threads' stacks and the program itself included.
    for limit in [150_u64, 200, 260, 330, 420] {
        let limited = command("prlimit")
            .current_dir(&world.dir)
            .arg(format!("--as={}", limit << 20))
            .arg(env!("CARGO_BIN_EXE_bootwright"))
            .args(["--output", "json", "reconcile", "--force", "tiny"])
            .output()
            .unwrap();
        nothing_is_about(&world, &format!("{limit} MiB"));
        let said = said(limited);
        match said.output.status.code() {
            Some(0) => continue,
            // Aborted: as if it were killed.
            None | Some(101) => {}
            Some(code) => {
                let (_, class) = failure(&said);
                assert!(["host", "bug"].contains(&class.as_str()) && code != 0, "{limit}: {}", said.words());
            }
        }
        refused += 1;
    }
    let said = world.run(&BY_HAND);
    assert!(said.output.status.success(), "{}", said.words());
    assert_eq!(said.report()["failed"], Value::Array(Vec::new()));
    assert_eq!(both_are_valid(&world, "after little memory"), 2);
    let looks = watching.end("little memory");
    println!("memory: {refused} limits of the address space were too low, then recovered ({looks} looks)");
}

/// What the kernel does to the largest process when memory ends, done to a tool of ours.
#[test]
fn a_tool_that_is_killed_is_the_hosts_trouble() {
    let world = published_once();
    let child = bootwright(&world.dir, &["--output", "json", "reconcile"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let tool = (0..3000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        child_called("bwrap", child.id())
    });
    let tool = nix::unistd::Pid::from_raw(tool.expect("a sandbox is started"));
    nix::sys::signal::kill(tool, nix::sys::signal::Signal::SIGKILL).unwrap();
    let said = said(child.wait_with_output().unwrap());
    assert_eq!(failure(&said), ("E5001".to_owned(), "host".to_owned()), "{}", said.words());
    assert!(said.words().contains("memory ran out"), "{}", said.words());
    nothing_is_about(&world, "a killed tool");
    let said = world.run(&BY_HAND);
    assert!(said.output.status.success(), "{}", said.words());
}

/// A descendant of a process by its program's name, none if it has ended.
pub fn child_called(name: &str, parent: u32) -> Option<i32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).ok()?.flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let pids: Vec<u32> = children
        .flat_map(|c| c.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<_>>())
        .collect();
    let called =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    // Behind the one that waits for it.
    pids.iter()
        .copied()
        .find(called)
        .and_then(|pid| i32::try_from(pid).ok())
        .or_else(|| pids.iter().find_map(|pid| child_called(name, *pid)))
}
