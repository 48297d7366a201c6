//! The power goes while a release is published: what a disk has by then is a sound store.
//!
//! The store lies on an ext4 file system on a loop device, mounted so that it writes nothing
//! before it is asked to: no commits by time, no flush at a rename, data whenever it likes. The
//! program is stopped at moments of no plan, and the device's file is copied. The counters of
//! the device say whether anything was written meanwhile; then the copy is made once more. So
//! each copy holds what had been flushed and nothing else, as a disk that lost its power then.
//! Mounted again, its journal is played back, and the store in it is checked to the last byte.
//!
//! What this does not show: a disk that lies about flushing, or that tears a sector.

use super::starved::{with_private_mounts, within};
use super::world::{World, bootwright};
use super::{command, words};
use bootwright::model::ImageName;
use bootwright::release::{PublicKey, Store, Trust};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Releases that are published one after the other.
const RELEASES: usize = 4;
/// Copies that must have been made while a release was published.
const COPIES: usize = 30;
const SIZE: u64 = 128 << 20;

/// A file with a file system, mounted.
struct Disk {
    file: PathBuf,
    place: PathBuf,
}

impl Disk {
    fn new(folder: &Path, place: &Path) -> Self {
        let file = folder.join("disk.img");
        fs::File::create(&file).unwrap().set_len(SIZE).unwrap();
        let made = command("mkfs.ext4").args(["-q", "-F"]).arg(&file).output().unwrap();
        assert!(made.status.success(), "{}", words(&made));
        let disk = Self { file, place: place.to_owned() };
        disk.mount("commit=1000,data=writeback,noauto_da_alloc");
        disk
    }

    fn mount(&self, options: &str) {
        fs::create_dir_all(&self.place).unwrap();
        let options = format!("loop,{options}");
        let mut mount = command("mount");
        let done =
            mount.args(["-t", "ext4", "-o", &options]).args([&self.file, &self.place]).output().unwrap();
        assert!(done.status.success(), "{}", words(&done));
    }

    fn unmount(&self) {
        let done = command("umount").arg(&self.place).output().unwrap();
        assert!(done.status.success(), "{}", words(&done));
    }

    /// What the device has done and is doing: writes, sectors, flushes, requests in flight
    /// (Documentation/block/stat.rst).
    fn counters(&self) -> Vec<u64> {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let needle = format!(" {} ", self.place.display());
        let line = mounts.lines().find(|line| line.contains(&needle)).unwrap();
        let device = line.split(' ').find_map(|word| word.strip_prefix("/dev/")).unwrap();
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
        let all: Vec<u64> = stat.split_whitespace().map(|n| n.parse().unwrap()).collect();
        [4, 6, 8, 15].into_iter().filter_map(|at| all.get(at).copied()).collect()
    }

    /// Copies what the device holds now. Nobody writes to it meanwhile.
    fn copy(&self, to: &Path) {
        for _ in 0..50 {
            let before = self.counters();
            let copied = command("cp").arg("--sparse=always").args([&self.file, to]).output().unwrap();
            assert!(copied.status.success(), "{}", words(&copied));
            if before[2] == 0 && self.counters() == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the device is never at rest");
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn is_stopped(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

/// The releases of a store, each of which is sound.
fn sound_releases(place: &Path, trust: &Trust, when: &str) -> BTreeSet<String> {
    let store = Store::open(place);
    let image: ImageName = "tiny".parse().unwrap();
    let list = store.list(trust).unwrap_or_else(|f| panic!("{when}: {f}"));
    for release in &list {
        let defects = store.verify(&image, &release.version, trust).unwrap_or_else(|f| panic!("{when}: {f}"));
        assert_eq!(defects, [], "{when}: {}", release.version);
    }
    list.into_iter().map(|release| release.version.to_string()).collect()
}

#[test]
fn the_power_goes_while_a_release_is_published() {
    let began = Instant::now();
    let world = World::new("[rootfs, oci]");
    let folder = tempfile::Builder::new().prefix("power").tempdir_in("/var/tmp").unwrap();
    let trust = Trust::of([PublicKey::load(&world.dir.join("keys/bootwright.pub")).unwrap()]);
    with_private_mounts(|| {
        let disk = Disk::new(folder.path(), &world.store());
        // Copies, each with the releases that were promised when it was made.
        let mut copies: Vec<(PathBuf, BTreeSet<String>)> = Vec::new();
        let mut promised = BTreeSet::new();
        let mut chance = 12345_u64;
        for round in 0..RELEASES {
            world.write("specs/overlays/tiny/etc/motd", &format!("round {round}\n"));
            world.commit("Another message");
            let mut child = bootwright(&world.dir, &["--output", "json", "reconcile"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let staging = world.store().join(".staging");
            let publishes = || fs::read_dir(&staging).is_ok_and(|mut folder| folder.next().is_some());
            within(120, || publishes() || child.try_wait().unwrap().is_some());
            while child.try_wait().unwrap().is_none() {
                signal(&child, Signal::SIGSTOP);
                within(20, || is_stopped(&child) || child.try_wait().unwrap().is_some());
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                let copy = folder.path().join(format!("copy-{:03}.img", copies.len()));
                disk.copy(&copy);
                copies.push((copy, promised.clone()));
                signal(&child, Signal::SIGCONT);
                // From half a millisecond to 64: many steps of publishing take less.
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                std::thread::sleep(Duration::from_micros(500 << ((chance >> 33) % 8)));
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", words(&output));
            let copy = folder.path().join(format!("copy-{:03}.img", copies.len()));
            promised = sound_releases(&world.store(), &trust, "after a round");
            assert_eq!(promised.len(), round + 1);
            // The moment after the program said that it is published.
            disk.copy(&copy);
            copies.push((copy, promised.clone()));
        }
        disk.unmount();
        let (mut new, mut seen) = (0, BTreeSet::new());
        for (file, promised) in &copies {
            let when = file.file_name().unwrap().to_string_lossy().into_owned();
            let copy = Disk { file: file.clone(), place: folder.path().join("again") };
            copy.mount("defaults");
            let found = sound_releases(&copy.place, &trust, &when);
            copy.unmount();
            assert!(found.is_superset(promised), "{when}: {promised:?} were published, {found:?} are there");
            new += usize::from(found.len() > promised.len());
            seen.insert(found.len());
        }
        assert!(copies.len() >= COPIES, "only {} copies were made", copies.len());
        assert_eq!(seen.len(), RELEASES + 1, "stores with this many releases were seen: {seen:?}");
        println!(
            "power cut: {} copies of the disk while {RELEASES} releases were published, all sound ({new} had a release that was just finished, {:.0?})",
            copies.len(),
            began.elapsed()
        );
    });
}
