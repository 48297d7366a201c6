//! Old releases go: what is kept, what is said, and who is killed in between.

use super::shop::{Shop, image, name_of};
use bootwright::effects::Process;
use bootwright::model::{ErrorCode, FailureClass};
use bootwright::ops::PruneReport;
use bootwright::planner;
use bootwright::release::store::prune::{Kept, Retention};
use std::sync::atomic::{AtomicBool, Ordering};

/// Six releases: of 50, 40, 30, 20, 10 and 0 days ago, the last on the channel.
fn full() -> Shop {
    let shop = Shop::empty();
    for (name, days) in [("a", 50), ("b", 40), ("c", 30), ("d", 20), ("one", 10), ("two", 0)] {
        shop.publish(name, days);
    }
    assert_eq!(shop.manifests().len(), 6);
    shop
}

fn kept(report: &PruneReport) -> Vec<Kept> {
    report.kept.iter().map(|k| k.why).collect()
}

#[test]
fn what_would_go_is_shown_and_what_is_shown_goes() {
    let shop = full();
    let manifests = shop.manifests();
    let before = shop.files();
    let shown = shop.prune(None, Some(15), false).unwrap();
    assert_eq!(shop.files(), before, "shown, not done");
    assert!(!shown.done);
    assert_eq!(kept(&shown), [Kept::Channel, Kept::LastGood]);
    let goes: Vec<_> = shown.removed.iter().map(|r| &r.version).collect();
    assert_eq!(goes, manifests[2..].iter().map(|m| &m.version).collect::<Vec<_>>());
    let bytes: u64 = shown.removed.iter().map(|r| r.bytes).sum();
    assert!(shown.bytes == bytes && bytes > 4 * 70_000);

    let serial = shop.store.index(shop.signers.keys()).unwrap().serial;
    let done = shop.prune(None, Some(15), true).unwrap();
    assert!(done.done);
    assert_eq!((&done.removed, &done.kept), (&shown.removed, &shown.kept));
    let index = shop.store.index(shop.signers.keys()).unwrap();
    assert_eq!((index.serial, index.images[&image()].releases.len()), (serial + 1, 2));
    for gone in &manifests[2..] {
        assert!(!shop.folder(gone).exists());
        assert!(!shop.page("demo/index.html").contains(gone.version.as_str()));
    }
    assert!(shop.is_good(&manifests[0]) && shop.is_good(&manifests[1]));
    let after = shop.files();
    assert!(shop.prune(None, Some(15), true).unwrap().removed.is_empty());
    assert_eq!(shop.files(), after, "nothing more goes, nothing is written");
    assert!(shop.reconcile(true).planned.plan.is_empty());
}

#[test]
fn rules_come_from_the_catalog_and_the_command_line() {
    let shop = full();
    let manifests = shop.manifests();
    let refused = shop.prune(None, None, true).unwrap_err();
    assert_eq!(refused.class, FailureClass::Spec);
    assert!(refused.message.contains("nothing says"), "{refused}");
    shop.settings(&format!(
        "  retention: {{keep: 3, olderThanDays: 25, hold: [demo/{}]}}\n",
        manifests[5].version
    ));
    let shown = shop.prune(None, None, false).unwrap();
    use Kept::{Channel, Held, LastGood, Newest, Young};
    // 0, 10 and 20 days are the newest three and younger than 25 anyway; 50 is held.
    assert_eq!(kept(&shown), [Channel, LastGood, Newest, Held]);
    assert_eq!(kept(&shop.prune(Some(0), None, false).unwrap()), [Channel, LastGood, Young, Held]);
    assert_eq!(kept(&shop.prune(Some(0), Some(0), true).unwrap()), [Channel, LastGood, Held]);
    assert!(shop.is_good(&manifests[5]), "held");
    // What is held and not there is a slip that is told before anything goes.
    for hold in ["demo/20200101-0123abcd", "other/20200101-0123abcd"] {
        shop.settings(&format!("  retention: {{keep: 0, hold: [{hold}]}}\n"));
        let refused = shop.prune(None, None, true).unwrap_err();
        assert!(refused.class == FailureClass::Spec && refused.message.contains(hold), "{refused}");
    }
    assert!(shop.is_good(&manifests[5]));
}

#[test]
fn a_damaged_release_is_not_the_last_good_one() {
    let shop = full();
    let manifests = shop.manifests();
    std::fs::remove_file(shop.folder(&manifests[1]).join(name_of(&manifests[1], ".iso"))).unwrap();
    let report = shop.prune(Some(0), None, true).unwrap();
    assert_eq!(kept(&report), [Kept::Channel, Kept::LastGood]);
    assert_eq!(report.kept[1].version, manifests[2].version);
    assert!(shop.is_good(&manifests[2]) && !shop.folder(&manifests[1]).exists());
    // A stranger's key removes nothing.
    let other = Shop::new();
    let rules = Retention::default();
    let refused = shop.store.prune(&rules, &other.signers, super::noon()).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Untrusted);
    assert!(shop.is_good(&manifests[2]));
}

#[test]
fn readers_see_whole_releases_while_others_go() {
    let shop = full();
    let manifests = shop.manifests();
    let done = AtomicBool::new(false);
    let (store, keys) = (&shop.store, shop.signers.keys());
    std::thread::scope(|scope| {
        let reader = || {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) || reads == 0 {
                let index = store.index(keys).unwrap();
                for release in &index.images[&image()].releases[..2] {
                    assert_eq!(store.verify(&image(), &release.version, keys).unwrap(), []);
                }
                // One that goes is whole, or gone as a whole.
                let going = &manifests[4].version;
                match store.verify(&image(), going, keys) {
                    Err(f) => assert_eq!(f.code, ErrorCode::NotFound),
                    Ok(defects) => {
                        assert!(
                            defects.is_empty() || !store.folder(&image(), going).exists().unwrap(),
                            "{defects:?}"
                        )
                    }
                }
                reads += 1;
            }
            reads
        };
        let (a, b) = (scope.spawn(reader), scope.spawn(reader));
        for keep in [4, 3, 2, 0] {
            shop.prune(Some(keep), None, true).unwrap();
        }
        done.store(true, Ordering::SeqCst);
        assert!(a.join().unwrap() > 0 && b.join().unwrap() > 0);
    });
    assert_eq!(shop.manifests().len(), 2);
}

#[test]
fn killed_between_index_and_files_leaves_what_the_next_run_finds() {
    let shop = full();
    let gone = shop.manifests().remove(5);
    // As the killed process leaves it: the index is written, the files are still there.
    let copy = shop.dir.path().join("copy");
    let copied = Process::new("cp")
        .args(["-a", shop.folder(&gone).to_str().unwrap(), copy.to_str().unwrap()])
        .run(&Default::default())
        .unwrap();
    assert!(copied.status.success());
    shop.prune(Some(5), None, true).unwrap();
    std::fs::rename(&copy, shop.folder(&gone)).unwrap();
    let text = planner::text(&shop.plan(false).planned);
    assert!(text.contains(&format!("the index does not list the folder demo/{}", gone.version)), "{text}");
    assert!(shop.reconcile(false).failed.is_empty());
    assert!(!shop.folder(&gone).exists());
    assert!(shop.reconcile(false).planned.plan.is_empty());
    assert!(shop.quarantined().iter().any(|path| path.contains(gone.version.as_str())));
}

/// Run as a process of its own by the test below, in a folder that says so.
#[test]
#[ignore = "the child of a_pruner_killed_anywhere_leaves_a_sound_store"]
fn child_pruner() {
    if std::path::Path::new("prune-here").exists() {
        let here = std::env::current_dir().unwrap();
        let key = bootwright::release::Signer::load(&here.join("keys/k.key"), None).unwrap();
        let signers = bootwright::release::Signers::alone(key);
        let store = bootwright::release::Store::open(here.join("releases"));
        store.prune(&Retention::default(), &signers, super::noon()).unwrap();
        std::fs::write("done", "").unwrap();
    }
}

#[test]
fn a_pruner_killed_anywhere_leaves_a_sound_store() {
    let exe = std::env::current_exe().unwrap();
    let (mut killed, mut orphans) = (0, 0);
    for round in 0..9_u64 {
        let shop = full();
        let manifests = shop.manifests();
        std::fs::write(shop.dir.path().join("prune-here"), "").unwrap();
        let index = || std::fs::read(shop.store.path().join("index.dsse.json")).unwrap();
        let (before, page) = (index(), shop.page("demo/index.html"));
        let mut child = Process::new(&exe)
            .args(["observe::pruning::child_pruner", "--exact", "--ignored", "--nocapture"])
            .dir(shop.dir.path())
            .spawn()
            .unwrap();
        // Once the page is written, once the index is, once the first folder is away.
        let has_come = || match round % 3 {
            0 => shop.page("demo/index.html") != page,
            1 => index() != before,
            _ => !shop.folder(&manifests[2]).exists(),
        };
        let started = std::time::Instant::now();
        while !has_come() && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed().as_secs() < 60, "the pruner does not come on");
        }
        child.kill();
        killed += i32::from(!shop.dir.path().join("done").exists());
        // Whatever the index lists is whole; what the channel points to and the last good are there.
        for listed in shop.manifests_listed() {
            let defects = shop.store.verify(&image(), &listed, shop.signers.keys()).unwrap();
            assert_eq!(defects, [], "round {round}");
        }
        assert!(shop.is_good(&manifests[0]) && shop.is_good(&manifests[1]), "round {round}");
        // The next run finds what is left, and the one after that has nothing to do.
        let found = shop.reconcile(false).planned.plan.store;
        orphans += found.len();
        let idle = shop.reconcile(false);
        assert!(idle.planned.plan.is_empty(), "round {round}: {}", planner::text(&idle.planned));
        shop.prune(Some(0), None, true).unwrap();
        assert_eq!(shop.manifests().len(), 2);
        let staging = shop.store.path().join(".staging");
        assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0, "round {round}");
    }
    println!("{killed} of 9 killed, {orphans} things left and found");
    assert!(killed > 0);
}
