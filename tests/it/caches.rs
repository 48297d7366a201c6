//! The cache under real damage, real users in other processes and real mounts.
//!
//! Needs root (owners, device nodes, `trusted.*` attributes, mounts in a namespace of a
//! thread's own); fails loudly without.

use bootwright::build::cache::kind::TABLE;
use bootwright::build::cache::needs::Needs;
use bootwright::build::cache::prune::{Limits, Prune, Pruned, Why};
use bootwright::build::cache::{Cache, Found, Kind, lock_of, seal};
use bootwright::build::stack::{Stack, StackedLayer};
use bootwright::build::{oci, squashfs};
use bootwright::effects::files::{FileLock, WorkFolder, remove_tree};
use bootwright::effects::{Cancel, Clock, Process, Running};
use bootwright::model::recipe::LayerId;
use bootwright::model::settings::Compression;
use bootwright::model::{Digest, Emitter, Event};
use chrono::{DateTime, TimeDelta, Utc};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const NEEDS_ROOT: &str = "these tests need root";

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

/// Dates a file or folder so many days before [`now`].
fn age(path: &Path, days: i64) {
    let time = Timespec { tv_sec: (now() - TimeDelta::days(days)).timestamp(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A cache with one sound entry of every sealed kind.
struct World {
    _temporary: tempfile::TempDir,
    cache: Cache,
    stack: Stack,
    package: PathBuf,
}

impl World {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let cache = Cache::open(&temporary.path().join("cache")).unwrap();
        let layer = cache.layer(&LayerId(Digest::of("layer")));
        for folder in [&layer, &cache.initramfs(&Digest::of("i")), &cache.boot_files(&Digest::of("b"))] {
            fill(&folder.join("root"));
            seal::seal_tree(folder).unwrap();
        }
        let evidence = cache.folder(Kind::Evidence).join(Digest::of("e").hex());
        fill(&evidence.join("root"));
        seal::seal_tree(&evidence).unwrap();
        let bytes = vec![7; 5000];
        let package = cache.package(&Digest::of(&bytes));
        fs::create_dir_all(package.parent().unwrap()).unwrap();
        fs::write(&package, bytes).unwrap();
        let layer = StackedLayer {
            name: "bootstrap".to_owned(),
            id: LayerId(Digest::of("layer")),
            epoch: 0,
            folder: layer.join("root"),
            cached: true,
            size: 1,
        };
        let stack = Stack { layers: vec![layer], epoch: 0, cache: cache.root().to_owned() };
        let world = Self { _temporary: temporary, cache, stack, package };
        world.modules(&Emitter::default());
        world.blobs(&Emitter::default());
        world
    }

    fn layer(&self) -> PathBuf {
        self.stack.layers[0].folder.parent().unwrap().to_owned()
    }

    fn modules(&self, events: &Emitter) -> PathBuf {
        squashfs::modules(&self.stack, Compression::Fast, events, &Cancel::default()).unwrap().remove(0).path
    }

    fn blobs(&self, events: &Emitter) -> PathBuf {
        oci::layer::blobs(&self.stack, Compression::Fast, events, &Cancel::default()).unwrap().remove(0).path
    }

    /// The damaged entries that reading everything finds, all of which it drops.
    fn verify(&self) -> Vec<Kind> {
        let found = self.cache.verify(&[], &Emitter::default(), &Cancel::default()).unwrap();
        assert!(found.damaged.iter().all(|damage| damage.dropped), "{found:?}");
        found.damaged.iter().map(|damage| damage.kind).collect()
    }
}

/// A small tree with everything that a layer can have.
fn fill(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("usr/bin/tool"), b"#!/bin/sh\nexit 0\n".repeat(100)).unwrap();
    fs::set_permissions(root.join("usr/bin/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs::write(root.join("etc/motd"), "hello\n").unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    let node = root.join("etc/removed");
    rustix::fs::mknodat(CWD, &node, FileType::CharacterDevice, Mode::empty(), 0).expect(NEEDS_ROOT);
    let opaque = root.join("etc");
    rustix::fs::lsetxattr(opaque, "trusted.overlay.opaque", b"y", XattrFlags::empty()).expect(NEEDS_ROOT);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Flips a bit and dates the file as it was: what a failing disk does.
fn flip_silently(path: &Path) {
    let meta = fs::metadata(path).unwrap();
    let (seconds, nanoseconds) = (meta.mtime(), meta.mtime_nsec());
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    drop(file);
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).unwrap();
}

fn cut(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length / 2).unwrap();
}

type Damage = fn(&Path);

/// What can happen to a sealed tree.
const TREE_DAMAGES: [(&str, Damage); 18] = [
    ("a flipped bit", |f| flip(&f.join("root/usr/bin/tool"))),
    ("a flipped bit with the old date", |f| flip_silently(&f.join("root/usr/bin/tool"))),
    ("a file cut short", |f| cut(&f.join("root/usr/bin/tool"))),
    ("an emptied file", |f| fs::write(f.join("root/etc/motd"), "").unwrap()),
    ("a longer file", |f| fs::write(f.join("root/etc/motd"), "hello\nworld\n").unwrap()),
    ("a removed file", |f| fs::remove_file(f.join("root/etc/motd")).unwrap()),
    ("an added file", |f| fs::write(f.join("root/etc/new"), "").unwrap()),
    ("an added folder", |f| fs::create_dir(f.join("root/new")).unwrap()),
    ("a removed folder", |f| fs::remove_dir_all(f.join("root/usr")).unwrap()),
    ("a renamed file", |f| fs::rename(f.join("root/etc/motd"), f.join("root/etc/motd2")).unwrap()),
    ("another mode", |f| {
        fs::set_permissions(f.join("root/usr/bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    }),
    ("another owner", |f| std::os::unix::fs::chown(f.join("root/etc/motd"), Some(1000), None).unwrap()),
    ("a link elsewhere", |f| {
        fs::remove_file(f.join("root/bin")).unwrap();
        symlink("/bin", f.join("root/bin")).unwrap();
    }),
    ("a file that became a link", |f| {
        fs::remove_file(f.join("root/etc/motd")).unwrap();
        symlink("/etc/motd", f.join("root/etc/motd")).unwrap();
    }),
    ("a lost mark", |f| {
        rustix::fs::lremovexattr(f.join("root/etc"), "trusted.overlay.opaque").unwrap();
    }),
    ("another date", |f| age(&f.join("root/etc/motd"), 3)),
    ("a cut seal", |f| cut(&f.join("seal.json"))),
    ("no seal", |f| fs::remove_file(f.join("seal.json")).unwrap()),
];

#[test]
fn damage_to_a_tree_is_found_before_use_and_by_verify() {
    for (what, damage) in TREE_DAMAGES {
        let world = World::new();
        let session = world.cache.session();
        assert_eq!(session.find_tree(&world.layer()).unwrap(), Found::Sound);
        drop(session);
        damage(&world.layer());
        match world.cache.session().find_tree(&world.layer()).unwrap() {
            Found::Damaged(why) => assert!(!why.is_empty()),
            other => panic!("{what} is {other:?}"),
        }
        assert_eq!(world.verify(), [Kind::Layers], "{what}");
        assert!(!world.layer().exists(), "{what}");
        assert_eq!(world.verify(), [], "{what}: a second time there is nothing");
    }
    println!("{} damages to a tree, each found twice", TREE_DAMAGES.len());
}

#[test]
fn the_first_difference_is_named() {
    let world = World::new();
    flip(&world.layer().join("root/etc/motd"));
    let found = world.cache.session().find_tree(&world.layer()).unwrap();
    assert_eq!(found, Found::Damaged("/etc/motd was changed".to_owned()));
    fs::remove_file(world.layer().join("root/etc/motd")).unwrap();
    let found = world.cache.session().find_tree(&world.layer()).unwrap();
    assert_eq!(found, Found::Damaged("/etc/motd is missing".to_owned()));
}

/// What can happen to a sealed file, and whether a glance before use must find it.
const FILE_DAMAGES: [(&str, Damage, bool); 8] = [
    ("a flipped bit", flip, true),
    ("a flipped bit with the old date", flip_silently, false),
    ("cut short", cut, true),
    ("emptied", |f| fs::write(f, "").unwrap(), true),
    ("longer", |f| fs::write(f, [fs::read(f).unwrap(), vec![0]].concat()).unwrap(), true),
    (
        "another file of the same size",
        |f| {
            let size = fs::metadata(f).unwrap().len();
            fs::remove_file(f).unwrap();
            fs::write(f, vec![0; usize::try_from(size).unwrap()]).unwrap();
        },
        true,
    ),
    ("a seal that is no JSON", |f| fs::write(format!("{}.json", f.display()), "{").unwrap(), true),
    ("no seal", |f| fs::remove_file(format!("{}.json", f.display())).unwrap(), true),
];

#[test]
fn a_damaged_module_or_blob_is_found_and_made_again() {
    let mut count = 0;
    for (what, damage, by_glance) in FILE_DAMAGES {
        for (kind, make) in
            [(Kind::Modules, World::modules as fn(&World, &Emitter) -> PathBuf), (Kind::Blobs, World::blobs)]
        {
            // Before use.
            let world = World::new();
            let file = make(&world, &Emitter::default());
            let right = fs::read(&file).unwrap();
            damage(&file);
            if by_glance {
                let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
                let keep = Arc::clone(&warnings);
                let events = Emitter::new(move |event| {
                    if let Event::Warning { message } = event {
                        keep.lock().unwrap().push(message);
                    }
                });
                assert_eq!(make(&world, &events), file);
                assert!(fs::read(&file).unwrap() == right, "{kind}: {what}");
                // What was never finished is no damage.
                let expected = usize::from(what != "no seal");
                assert_eq!(warnings.lock().unwrap().len(), expected, "{kind}: {what}: {warnings:?}");
                assert_eq!(world.verify(), [], "{kind}: {what}");
                damage(&file);
            }
            assert_eq!(world.verify(), [kind], "{kind}: {what}");
            assert!(!file.exists(), "{kind}: {what}");
            make(&world, &Emitter::default());
            assert!(fs::read(&file).unwrap() == right, "{kind}: {what}");
            count += 1;
        }
    }
    println!("{count} damages to modules and blobs, each found and repaired");
}

#[test]
fn a_damaged_package_is_found_by_verify() {
    for damage in [flip as Damage, flip_silently, cut, |f| fs::write(f, "").unwrap()] {
        let world = World::new();
        damage(&world.package);
        assert_eq!(world.verify(), [Kind::Packages]);
        assert!(!world.package.exists());
    }
}

#[test]
fn what_is_only_moved_or_looked_at_stays_sound() {
    let world = World::new();
    assert_eq!(world.verify(), []);
    // A copy on another disk: other inodes, other dates of inodes.
    let copy = world.cache.root().with_extension("copy");
    let done = Process::new("cp").args(["-a", "--no-preserve=links"]).arg(world.cache.root()).arg(&copy);
    done.check(&Cancel::default()).unwrap();
    let copied = Cache::open(&copy).unwrap();
    let layer = copied.layer(&LayerId(Digest::of("layer")));
    for _ in 0..2 {
        assert_eq!(copied.session().find_tree(&layer).unwrap(), Found::Sound);
    }
    let module = world.modules(&Emitter::default());
    let inode = fs::metadata(&module).unwrap().ino();
    fs::hard_link(&module, module.with_extension("linked.part")).unwrap();
    fs::read(&module).unwrap();
    age(&module, 1);
    assert_eq!(world.modules(&Emitter::default()), module);
    assert_eq!(fs::metadata(&module).unwrap().ino(), inode, "not made again");
    assert_eq!(world.verify(), []);
}

#[test]
fn a_glance_at_a_whole_image_is_quick() {
    let dir = tempfile::tempdir().unwrap();
    for folder in 0..100 {
        let folder = dir.path().join(format!("layer/root/usr/share/{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            fs::write(folder.join(format!("file-{file}")), [0; 64]).unwrap();
        }
    }
    let layer = dir.path().join("layer");
    let started = Instant::now();
    seal::seal_tree(&layer).unwrap();
    let sealed = started.elapsed();
    let times: Vec<Duration> = (0..5)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(seal::check_tree(&layer).unwrap(), seal::Checked::Sound);
            started.elapsed()
        })
        .collect();
    let best = times.iter().min().unwrap();
    println!("10,000 files: sealed in {sealed:?}, a glance takes {best:?} (not optimised)");
    assert!(*best < Duration::from_secs(1), "{times:?}");
}

/// Another process that uses a file or folder until it is killed.
fn user(path: &Path) -> Running {
    let mut child = Process::new("flock")
        .arg("--shared")
        .arg(path)
        .args(["sh", "-c", "echo held; sleep 600"])
        .spawn()
        .unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(&mut child.stdout().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"held\n");
    child
}

fn prune(cache: &Cache, limits: Limits, kinds: &[Kind], dry_run: bool) -> Pruned {
    let needs = Needs::default();
    let prune = Prune { limits, kinds: kinds.to_vec(), needs: &needs, spare_needed: false, dry_run };
    cache.prune(&prune, now(), &Cancel::default()).unwrap()
}

const NOTHING: Limits = Limits { size: Some(0), age: None };

fn entries(cache: &Cache) -> usize {
    cache.entries(&[]).unwrap().len()
}

#[test]
fn what_another_process_uses_is_left_and_named() {
    let world = World::new();
    let all = entries(&world.cache);
    assert_eq!(all, 7, "one of each sealed kind");
    let module = world.modules(&Emitter::default());
    let mut users: Vec<Running> = [world.layer(), module.clone(), world.package.parent().unwrap().to_owned()]
        .iter()
        .map(|p| user(p))
        .collect();
    let dry = prune(&world.cache, NOTHING, &[], true);
    assert_eq!((dry.removed.len(), dry.in_use.len(), entries(&world.cache)), (4, 3, 7));
    let pruned = prune(&world.cache, NOTHING, &[], false);
    let kinds: Vec<Kind> = pruned.in_use.iter().map(|choice| choice.kind).collect();
    assert_eq!(pruned.removed.len(), 4);
    for kind in [Kind::Layers, Kind::Modules, Kind::Packages] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(world.layer().exists() && module.exists() && world.package.exists());
    // The kernel frees what a killed process held.
    users.iter_mut().for_each(Running::kill);
    let started = Instant::now();
    while entries(&world.cache) > 0 && started.elapsed() < Duration::from_secs(20) {
        prune(&world.cache, NOTHING, &[], false);
    }
    assert_eq!(entries(&world.cache), 0);
    let left: Vec<PathBuf> = TABLE
        .iter()
        .flat_map(|row| fs::read_dir(world.cache.folder(row.kind)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(fs::read_dir(world.cache.work()).unwrap().count(), 0, "the trash is gone");
}

#[test]
fn who_makes_an_entry_keeps_it_from_being_pruned() {
    let world = World::new();
    let making = FileLock::take(&lock_of(&world.layer())).unwrap();
    let pruned = prune(&world.cache, NOTHING, &[Kind::Layers], false);
    assert_eq!((pruned.removed.len(), pruned.in_use.len()), (0, 1));
    drop(making);
    assert_eq!(prune(&world.cache, NOTHING, &[Kind::Layers], false).removed.len(), 1);
}

/// Says stop when it goes, also by a failed assertion.
struct Stops<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn a_session_never_loses_what_it_found() {
    let world = World::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut found, mut made) = (0, 0_u64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                prune(&world.cache, NOTHING, &[Kind::Layers, Kind::Modules], false);
            }
        });
        let _stops = Stops(&stop);
        let started = Instant::now();
        while (found < 20 || made < 5) && started.elapsed() < Duration::from_secs(60) {
            // The prune gets its chance between two builds.
            std::thread::sleep(Duration::from_millis(made % 3 * 5));
            let session = world.cache.session();
            match session.find_tree(&world.layer()).unwrap() {
                Found::Sound => {
                    found += 1;
                    for _ in 0..20 {
                        assert!(world.layer().join("root/etc/motd").exists(), "taken while in use");
                    }
                }
                Found::Damaged(why) => panic!("half an entry was seen: {why}"),
                Found::Absent => {
                    let _making = FileLock::take(&lock_of(&world.layer())).unwrap();
                    let work = WorkFolder::new(&world.cache.work(), "layer").unwrap();
                    let staged = work.path().join("layer");
                    fill(&staged.join("root"));
                    seal::seal_tree(&staged).unwrap();
                    if !world.layer().exists() {
                        fs::rename(&staged, world.layer()).unwrap();
                        made += 1;
                    }
                    assert!(session.hold(&world.layer()).unwrap());
                    assert!(world.modules(&Emitter::default()).exists(), "taken while it was made");
                }
            }
        }
    });
    println!("found {found} times, made {made} times beside a prune");
    assert!(made > 1, "the prune never took anything");
}

#[test]
fn age_size_and_kind_limit_what_goes() {
    let world = World::new();
    let module = world.modules(&Emitter::default());
    age(&world.layer(), 40);
    age(&PathBuf::from(format!("{}.json", module.display())), 20);
    age(&world.package, 31);
    let month = Limits { size: None, age: Some(TimeDelta::days(30)) };
    let dry = prune(&world.cache, month, &[], true);
    assert_eq!(
        dry.removed.iter().map(|c| (c.kind, c.why)).collect::<Vec<_>>(),
        [(Kind::Layers, Why::Age), (Kind::Packages, Why::Age)]
    );
    assert!(world.layer().exists());
    assert_eq!(prune(&world.cache, month, &[Kind::Packages], false).removed.len(), 1);
    assert!(world.layer().exists() && !world.package.exists());
    // Use makes young again.
    assert_eq!(world.cache.session().find_tree(&world.layer()).unwrap(), Found::Sound);
    assert_eq!(prune(&world.cache, month, &[], false).removed.len(), 0);
    let total: u64 = world.cache.totals(&[]).unwrap().iter().map(|total| total.bytes).sum();
    let most = total - 1;
    let pruned = prune(&world.cache, Limits { size: Some(most), age: None }, &[], false);
    assert_eq!(pruned.removed.len(), 1, "no more than it takes");
    assert_eq!(pruned.removed[0].kind, Kind::Modules, "the longest unused");
    assert!(pruned.left_bytes <= most);
    assert_eq!(prune(&world.cache, NOTHING, &[Kind::Blobs], false).left_bytes, 0);
}

#[test]
fn a_removal_that_was_killed_is_finished_by_the_next_one() {
    let world = World::new();
    let trash = world.cache.work().join("trash-0123");
    fs::create_dir_all(&trash).unwrap();
    fs::rename(world.layer(), trash.join("0")).unwrap();
    // Killed between the seal and its file: the file alone does not count.
    let module = world.modules(&Emitter::default());
    fs::rename(format!("{}.json", module.display()), trash.join("1.json")).unwrap();
    let cache = Cache::open(world.cache.root()).unwrap();
    assert!(!trash.exists());
    assert_eq!(cache.session().find_tree(&world.layer()).unwrap(), Found::Absent);
    assert_eq!(world.verify(), [Kind::Modules]);
}

/// Runs in a thread that has mounts of its own.
fn with_own_mounts(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect(NEEDS_ROOT);
            let nothing = None::<&str>;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).expect(NEEDS_ROOT);
            work();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Mounts something into a tree; the other folder is somebody else's.
type Mounting = fn(&Path, &Path);

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect(NEEDS_ROOT);
}

fn tmpfs(at: &Path) {
    mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).expect(NEEDS_ROOT);
}

#[test]
fn removing_a_tree_stops_at_mounts() {
    let cases: [(&str, Mounting); 5] = [
        ("a folder of the same file system, bound in", |tree, other| bind(other, &tree.join("a/mnt"))),
        ("another file system", |tree, _| {
            tmpfs(&tree.join("a/mnt"));
            fs::write(tree.join("a/mnt/kept"), "x").unwrap();
        }),
        ("a file, bound in", |tree, other| bind(&other.join("kept"), &tree.join("a/file"))),
        ("the tree itself, bound", |tree, other| bind(other, tree)),
        ("the tree itself, another file system", |tree, _| {
            tmpfs(tree);
            fs::write(tree.join("kept"), "x").unwrap();
        }),
    ];
    for (what, mount_in) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (tree, other) = (dir.path().join("tree"), dir.path().join("other"));
        fs::create_dir_all(tree.join("a/mnt")).unwrap();
        fs::write(tree.join("a/file"), "x").unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "x").unwrap();
        with_own_mounts(|| {
            mount_in(&tree, &other);
            let failure = remove_tree(&tree).expect_err(what);
            assert!(failure.message.contains("is a mount point"), "{what}: {failure}");
            assert!(failure.hint.unwrap().contains("umount"), "{what}");
            assert!(other.join("kept").exists(), "{what}: somebody else's file is gone");
            let seen = ["a/mnt/kept", "kept", "a/file"].iter().any(|name| tree.join(name).exists());
            assert!(seen, "{what}");
        });
        // Without the mount the rest goes.
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists(), "{what}");
    }
    // A tree that lies on a mount is no mount itself.
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("mnt");
    fs::create_dir(&at).unwrap();
    with_own_mounts(|| {
        tmpfs(&at);
        fs::create_dir_all(at.join("tree/a/b")).unwrap();
        remove_tree(&at.join("tree")).unwrap();
        assert!(!at.join("tree").exists());
    });
    println!("5 mounts, none crossed");
}
