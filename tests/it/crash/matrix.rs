//! Every point of a run: killed there, started again.

use super::reader::Watching;
use super::world::{Said, World, nothing_is_about, spec, temporary};
use super::{command, words};
use bootwright::effects::point::Point;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Worlds at work at once: a run waits for processes most of the time.
const WORKERS: usize = 3;

/// A world with one release, whose catalog asks for another one by now, and without a cache.
pub fn published_once() -> World {
    let world = World::new("[rootfs, oci]");
    let said = world.reconcile();
    assert_eq!(said.published().len(), 1, "{}", said.words());
    world.write("specs/tiny.yaml", &spec("tiny", "[rootfs, oci]").replace("[hello]", "[hello, live-boot]"));
    world.write("specs/overlays/tiny/etc/motd", "changed\n");
    world.commit("Another package and a message");
    fs::remove_dir_all(world.cache()).unwrap();
    world
}

/// How often each point is passed, in the order of the first passing.
fn counts(points: &[String]) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for point in points {
        match counts.iter_mut().find(|(name, _)| name == point) {
            Some((_, count)) => *count += 1,
            None => counts.push((point.clone(), 1)),
        }
    }
    counts
}

/// The passings that are tried: the first, the last and one between; of layers all.
fn passings(name: &str, count: usize) -> Vec<usize> {
    let chosen: BTreeSet<usize> = match name {
        "layer.kept" => (1..=count).collect(),
        "file.written" | "publish.file" => (1..=count).step_by(5).chain([count]).collect(),
        // How many pieces a download comes in is up to the network.
        "package.part" => [1, count / 2].into(),
        _ => [1, count.div_ceil(2), count].into(),
    };
    chosen.into_iter().filter(|n| *n > 0).collect()
}

#[test]
fn killed_at_every_point_and_started_again() {
    let began = Instant::now();
    let (system, iso) = (published_once(), World::new("[iso]"));
    let (said, points) = system.copy().traced(|_| {});
    assert!(said.output.status.success(), "{}", said.words());
    // An ISO wants a machine to prove itself: here its way ends where that would begin.
    let (_, iso_points) = iso.copy().traced(|command| {
        command.env("BOOTWRIGHT_STOP_AT", "run.verifying");
    });
    // Those of OpenWrt are passed by runs with devices (openwrt::released kills there), those of
    // card writers by no run (writers::killed does).
    let elsewhere = ["builder.", "firmware.", "card.", "writer."];
    let is_elsewhere = |name: &&str| elsewhere.iter().any(|others| name.starts_with(others));
    let of_runs = Point::ALL.iter().map(|p| p.name()).filter(|name| !is_elsewhere(name));
    let all: BTreeSet<&str> = of_runs.collect();
    let passed: BTreeSet<&str> = points.iter().chain(&iso_points).map(String::as_str).collect();
    assert_eq!(all, passed, "points that there are (left) and those that a run passes (right)");

    let (system_counts, iso_counts) = (counts(&points), counts(&iso_points));
    let common: BTreeSet<&String> = system_counts.iter().map(|(name, _)| name).collect();
    let only_iso =
        iso_counts.iter().filter(|(name, _)| !common.contains(name) || name.starts_with("derived"));
    let mut cases: Vec<(bool, String)> = Vec::new();
    for (is_iso, (name, count)) in system_counts.iter().map(|c| (false, c)).chain(only_iso.map(|c| (true, c)))
    {
        cases.extend(passings(name, *count).into_iter().map(|n| (is_iso, format!("{name}:{n}"))));
    }

    let (next, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let recovered = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                while let Some((is_iso, at)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let case =
                        AssertUnwindSafe(|| if *is_iso { iso_case(&iso, at) } else { case(&system, at) });
                    // The others are tried all the same; what was wrong is printed.
                    if let Ok(seen) = catch_unwind(case) {
                        looks.fetch_add(seen, Ordering::SeqCst);
                        recovered.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    println!(
        "crash points: {} killed, {} recovered ({} named points, {} looks of an outside reader, {:.0?})",
        cases.len(),
        recovered.load(Ordering::SeqCst),
        Point::ALL.len(),
        looks.load(Ordering::SeqCst),
        began.elapsed()
    );
    assert_eq!(recovered.load(Ordering::SeqCst), cases.len());
}

/// One kill of a run that publishes, and what comes after; gives how often the reader looked.
fn case(from: &World, at: &str) -> usize {
    let world = from.copy();
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let killed = world.killed(at);
    nothing_is_about(&world, at);
    let evidence = kept_evidence(&world);
    let again = world.reconcile();
    assert!(again.output.status.success(), "{at}: {}", again.words());
    assert_eq!(again.report()["failed"], Value::Array(Vec::new()), "{at}");
    finished_is_not_repeated(at, &killed, &again);
    let looked_at = again.tasks().keys().filter(|label| label.starts_with("inspect")).count();
    assert!(looked_at + evidence <= 2, "{at}: {evidence} had proved themselves, {looked_at} were looked at");
    nothing_is_left(&world, at);

    let idle = world.reconcile();
    assert!(idle.output.status.success(), "{at}: {}", idle.words());
    assert_eq!(idle.report()["planned"]["plan"]["steps"], Value::Array(Vec::new()), "{at}");
    assert_eq!(idle.report()["planned"]["report"][0]["status"]["status"], "up-to-date", "{at}");
    let versions = both_are_valid(&world, at);
    assert_eq!(versions, 2, "{at}");
    watching.end(at)
}

/// One kill of a build of an ISO; the next run goes on up to its machine.
fn iso_case(from: &World, at: &str) -> usize {
    let world = from.copy();
    let killed = world.killed(at);
    nothing_is_about(&world, at);
    let again = world.killed("run.verifying");
    finished_is_not_repeated(at, &killed, &again);
    let written = again.tasks().get("iso").is_some_and(|outcome| outcome.starts_with("written"));
    assert!(written, "{at}: {}", again.words());
    nothing_is_about(&world, at);
    assert!(!world.store().exists(), "{at}: something was published");
    0
}

/// What a killed run had finished, the next one finds: layers, blobs, modules, packages.
fn finished_is_not_repeated(at: &str, killed: &Said, again: &Said) {
    let after = again.tasks();
    for (label, outcome) in killed.tasks() {
        if outcome == "failed" || outcome == "cached" {
            continue;
        }
        let now = after.get(&label);
        let repeated = match label.as_str() {
            "boot loader files" | "initramfs" => now.is_some(),
            // Boot loaders are fetched apart, under the same label.
            "fetch packages" => now == Some(&outcome),
            label if label.starts_with("layer ") => now.is_some_and(|now| now != "cached"),
            label if label.starts_with("oci layer ") || label.starts_with("squashfs ") => now.is_some(),
            // Archives are written again from their layers, locks when the last word about
            // them was not said; evidence is counted apart.
            _ => false,
        };
        assert!(!repeated, "{at}: {label} was {outcome} and then {now:?} again");
    }
}

fn kept_evidence(world: &World) -> usize {
    let folders = fs::read_dir(world.cache().join("evidence")).into_iter().flatten().flatten();
    folders.filter(|folder| folder.path().join("record.json").is_file()).count()
}

/// No temporary file or folder in store and cache, no artifact of a run that is over.
fn nothing_is_left(world: &World, at: &str) {
    for place in [world.store(), world.cache()] {
        let left = temporary(&place);
        assert!(left.is_empty(), "{at}: left in {}: {left:?}", place.display());
    }
    let artifacts = fs::read_dir(world.cache().join("artifacts")).into_iter().flatten().flatten();
    let folders: Vec<_> = artifacts.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    assert!(folders.is_empty(), "{at}: artifacts stay: {folders:?}");
}

/// All releases, by our own check and by sha256sum and openssl; gives how many there are.
pub fn both_are_valid(world: &World, at: &str) -> usize {
    let list = world.run(&["release", "list"]).report();
    let releases = list["images"][0]["releases"].as_array().cloned().unwrap_or_default();
    for release in &releases {
        let version = release["version"].as_str().unwrap();
        let verified = world.run(&["release", "verify", &format!("tiny/{version}")]);
        assert!(verified.output.status.success(), "{at}: {version}: {}", verified.words());
        let folder = world.store().join("tiny").join(version);
        let sums = command("sha256sum").current_dir(&folder).args(["-c", "--quiet", "SHA256SUMS"]).output();
        let sums = sums.unwrap();
        assert!(sums.status.success(), "{at}: {version}: {}", words(&sums));
        openssl(world, &folder.join("SHA256SUMS"), at);
    }
    openssl(world, &world.store().join("index.json"), at);
    releases.len()
}

/// `FILE.sig` is our key's signature of `FILE`.
fn openssl(world: &World, file: &Path, at: &str) {
    let der = tempfile::NamedTempFile::new().unwrap();
    let decoded = command("base64").arg("-d").arg(file.with_extension(extension(file))).output().unwrap();
    fs::write(der.path(), decoded.stdout).unwrap();
    let checked = command("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(world.dir.join("keys/bootwright.pub"))
        .arg("-signature")
        .args([der.path(), file])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{at}: {}: {}", file.display(), words(&checked));
}

fn extension(file: &Path) -> String {
    file.extension().map_or("sig".to_owned(), |e| format!("{}.sig", e.to_string_lossy()))
}

/// Failures of the disk are tried at the points in their order, in one world: each run goes
/// on from where the one before failed.
#[test]
fn a_full_disk_at_every_point() {
    let began = Instant::now();
    let world = published_once();
    let (_, points) = world.copy().traced(|_| {});
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let (mut failed, mut done_again) = (0, 0);
    // The first small file is the memory of the catalog, which a run can do without.
    let again = std::iter::once("file.written:2".to_owned());
    for name in counts(&points).into_iter().map(|(name, _)| name).chain(again) {
        let point = name.split(':').next().unwrap();
        // These runs come further, past points whose turn is still to come: the lock is kept by
        // then, and without a memory of the catalog everything is read.
        let copy = ["lock.kept", "file.written"].contains(&name.as_str()).then(|| world.copy());
        let place = copy.as_ref().unwrap_or(&world);
        let said = place.stopped(&name, "enospc", &["reconcile", "--force", "tiny"]);
        let at = format!("{name}: {}", said.words());
        if said.output.status.success() {
            // Not silently: a copy is mended on the side, what is only remembered is left out,
            // or room was made and the work was done once more.
            let told = ["cannot be tidied up", "nothing can be remembered", "tried once more"];
            let was_passed = at.contains(&format!("at the point {point}"));
            assert!(!was_passed || told.iter().any(|words| at.contains(words)), "{at}");
            // Else an earlier run had come further than its failure.
            done_again += u32::from(was_passed);
            continue;
        }
        assert_eq!(said.output.status.code(), Some(5), "{at}");
        let report = said.report();
        let failure =
            if report["error"].is_object() { &report["error"] } else { &report["failed"][0]["failure"] };
        assert_eq!((&failure["code"], &failure["class"]), (&"E5002".into(), &"host".into()), "{at}");
        let message = failure["message"].as_str().unwrap_or_default();
        assert!(message.contains(point), "{at}");
        failed += 1;
    }
    assert!(failed > 15 && failed + done_again > 30, "{failed} ended their run, {done_again} made room");
    let said = world.run(&["reconcile", "--force", "tiny"]);
    assert!(said.output.status.success(), "{}", said.words());
    nothing_is_left(&world, "after full disks");
    assert_eq!(both_are_valid(&world, "after full disks"), 2);
    let looks = watching.end("full disks");
    println!(
        "full disk: {failed} points failed with E5002, then recovered; {done_again} made room and went on ({looks} looks, {:.0?})",
        began.elapsed()
    );
}

/// Killed by somebody else at any time, not at a point.
#[test]
fn killed_at_any_time() {
    let world = published_once();
    let watching = Watching::start(&world.store(), &world.dir.join("keys/bootwright.pub"));
    let mut kills = 0;
    // Each run comes a little further than the one before.
    for round in 0_u64.. {
        let mut child = super::world::bootwright(&world.dir, &["reconcile"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(150 + 97 * round);
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() >= until {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        nothing_is_about(&world, &format!("round {round}"));
        match ended {
            None => kills += 1,
            Some(status) => {
                assert!(status.success(), "round {round}: {status}");
                break;
            }
        }
    }
    assert!(world.reconcile().output.status.success());
    nothing_is_left(&world, "killed at any time");
    assert_eq!(both_are_valid(&world, "killed at any time"), 2);
    println!("killed at any time: {kills} kills, {} looks", watching.end("killed at any time"));
}

/// The moment in which a sandbox is set up and not yet running: its processes are not tied to
/// each other by themselves: bubblewrap 0.8 was seen to leave one behind here.
#[test]
fn killed_while_a_sandbox_starts() {
    let world = published_once();
    world.killed("lock.kept");
    let kills = 25;
    for round in 0..kills {
        let mut child = super::world::bootwright(&world.dir, &["reconcile"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while super::starved::child_called("bwrap", child.id()).is_none() {
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "no sandbox started");
        }
        std::thread::sleep(Duration::from_micros(150 * (round % 8)));
        child.kill().unwrap();
        child.wait().unwrap();
        nothing_is_about(&world, &format!("killed while a sandbox started, round {round}"));
    }
    let said = world.reconcile();
    assert!(said.output.status.success(), "{}", said.words());
    println!("killed while a sandbox starts: {kills} kills, nothing left");
}

/// What is in the way of a run is said in the order of the run.
#[test]
fn unknown_points_are_refused() {
    let world = World::new("[oci]");
    for (at, how) in [("no.such", "kill"), ("layer.kept:0", "kill"), ("layer.kept", "sleep")] {
        let said = world.stopped(at, how, &["plan"]);
        assert_eq!(said.output.status.code(), Some(2), "{}", said.words());
        assert!(said.words().contains("BOOTWRIGHT_STOP_AT"), "{}", said.words());
    }
    for number in ["0", "2", "-1", "x", "977"] {
        let said = world.run_with(&["plan"], |command| {
            command.env("BOOTWRIGHT_POINTS_FD", number);
        });
        assert_eq!(said.output.status.code(), Some(2), "{number}: {}", said.words());
    }
}
