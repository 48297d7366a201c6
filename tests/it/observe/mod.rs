//! The published bytes, watched: every kind of damage is planted, named, cured, and cured
//! once. All through the operations that a user calls.

mod pruning;
mod refusing;
pub mod shop;

use bootwright::model::ErrorCode;
use bootwright::model::observed::{Defect, Mend};
use bootwright::model::plan::{Action, Status};
use bootwright::model::release::Manifest;
use bootwright::planner;
use bootwright::release::keys;
use bootwright::release::{Look, Signer};
use shop::{Shop, edge, flip, image, name_of, noon};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What the plan says must hold the words, in text, JSON and Markdown.
fn plan_says(shop: &Shop, deep: bool, words: &str) {
    let plan = shop.plan(deep);
    let text = planner::text(&plan.planned);
    assert!(text.contains(words), "{words:?} is not in\n{text}");
    assert!(!plan.planned.plan.is_empty(), "{words}: nothing is to be done:\n{text}");
    let json = serde_json::to_value(&plan).unwrap();
    assert!(json["plan"]["steps"].is_array());
    let entity = |c: char| {
        if c.is_alphanumeric() || " -".contains(c) { c.to_string() } else { format!("&#{};", u32::from(c)) }
    };
    let escaped: String = words.chars().map(entity).collect();
    assert!(plan.markdown.contains(&escaped), "{escaped:?} is not in\n{}", plan.markdown);
}

#[test]
fn a_sound_store_is_left_alone() {
    let shop = Shop::new();
    let before = shop.files();
    let plan = shop.plan(true);
    assert_eq!(plan.planned.report[0].status, Status::UpToDate, "{}", planner::text(&plan.planned));
    assert!(shop.reconcile(true).planned.plan.is_empty());
    assert!(shop.reconcile(false).planned.plan.is_empty());
    assert_eq!(shop.files(), before);
}

type Plant = fn(&Shop, &Path, &Manifest);

/// Damage that needs no build, the words that name it, and what cures it.
const CURABLE: [(&str, Plant, &str, &str); 15] = [
    (
        "a file that nobody published",
        |_, folder, _| std::fs::write(folder.join("extra.iso"), "x").unwrap(),
        "file extra.iso lies in the release and is not part of it",
        "move extra.iso to quarantine",
    ),
    (
        "a file with a strange name among the evidence",
        |_, folder, _| std::fs::write(folder.join("evidence/..hidden \n"), "x").unwrap(),
        "lies in the release and is not part of it",
        "to quarantine",
    ),
    (
        "no list of digests",
        |_, folder, _| std::fs::remove_file(folder.join("SHA256SUMS")).unwrap(),
        "published file SHA256SUMS is missing",
        "write SHA256SUMS again",
    ),
    (
        "a list of other digests",
        |_, folder, _| flip(&folder.join("SHA256SUMS"), 3),
        "published file SHA256SUMS was altered",
        "write SHA256SUMS again",
    ),
    (
        "an unsigned list",
        |_, folder, _| std::fs::remove_file(folder.join("SHA256SUMS.sig")).unwrap(),
        "published file SHA256SUMS has no signature",
        "sign SHA256SUMS again",
    ),
    (
        "an unsigned manifest",
        |_, folder, _| std::fs::remove_file(folder.join("manifest.json.sig")).unwrap(),
        "published file manifest.json has no signature",
        "sign manifest.json again",
    ),
    (
        "a manifest signed by a stranger",
        |shop, folder, _| {
            let stranger = shop.dir.path().join("stranger.key");
            keys::write_key_pair(&stranger, None).unwrap();
            let manifest = std::fs::read(folder.join("manifest.json")).unwrap();
            let signature = Signer::load(&stranger, None).unwrap().sign(&manifest).unwrap();
            std::fs::write(folder.join("manifest.json.sig"), signature).unwrap();
            std::fs::remove_file(stranger.with_extension("pub")).unwrap();
            std::fs::remove_file(stranger).unwrap();
        },
        "the signature of published file manifest.json was made by no trusted key",
        "sign manifest.json again",
    ),
    (
        "no page",
        |_, folder, _| std::fs::remove_file(folder.join("index.html")).unwrap(),
        "published file index.html is missing",
        "write index.html again",
    ),
    (
        "no block map",
        |_, folder, manifest| std::fs::remove_file(folder.join(name_of(manifest, ".bmap"))).unwrap(),
        ".bmap is missing",
        ".bmap again",
    ),
    (
        "a lock that the release before has too",
        |_, folder, _| std::fs::write(folder.join("lock.yaml"), "short").unwrap(),
        "published file lock.yaml is cut off: it has 5 of",
        "restore lock.yaml from",
    ),
    (
        "an altered lock of the same size",
        |_, folder, _| flip(&folder.join("lock.yaml"), 3),
        "published file lock.yaml was altered: its digest is",
        "restore lock.yaml from",
    ),
    (
        "evidence that became a folder",
        |_, folder, _| {
            std::fs::remove_file(folder.join("evidence/boot-bios.log")).unwrap();
            std::fs::create_dir(folder.join("evidence/boot-bios.log")).unwrap();
        },
        "published file evidence/boot-bios.log was altered: it is no plain file",
        "restore evidence/boot-bios.log from",
    ),
    (
        "a folder of evidence that became a file",
        |_, folder, _| {
            std::fs::remove_dir_all(folder.join("evidence")).unwrap();
            std::fs::write(folder.join("evidence"), "x").unwrap();
        },
        "file evidence lies in the release and is not part of it",
        "restore evidence/start.png from",
    ),
    (
        "an ISO that is cut off, and a killed run left another",
        |shop, folder, manifest| {
            std::fs::write(folder.join(name_of(manifest, ".iso")), "two").unwrap();
            leave_built(shop, manifest, &Shop::iso("two"));
        },
        ".iso is cut off: it has 3 of 70003 bytes",
        ".bootwright/artifacts/",
    ),
    (
        "an ISO that is too long, and a killed run left another",
        |shop, folder, manifest| {
            std::fs::write(folder.join(name_of(manifest, ".iso")), [0; 80_000]).unwrap();
            leave_built(shop, manifest, &Shop::iso("two"));
        },
        "it has 80000 bytes, the manifest says 70003",
        ".bootwright/artifacts/",
    ),
];

/// What a run that was killed after building leaves in the cache.
fn leave_built(shop: &Shop, manifest: &Manifest, bytes: &[u8]) {
    shop.write(&format!(".bootwright/artifacts/{}/.keep", manifest.recipe.hex()), "");
    let folder = shop.dir.path().join(".bootwright/artifacts").join(manifest.recipe.hex());
    std::fs::write(folder.join("demo.iso"), bytes).unwrap();
}

#[test]
fn damage_that_needs_no_build_is_named_and_cured_once() {
    let shop = Shop::new();
    let manifests = shop.manifests();
    let current = &manifests[0];
    let folder = shop.folder(current);
    let before = std::fs::read(folder.join("manifest.json")).unwrap();
    for (what, plant, words, cure) in CURABLE {
        plant(&shop, &folder, current);
        plan_says(&shop, false, words);
        plan_says(&shop, false, cure);
        let report = shop.reconcile(false);
        assert!(report.failed.is_empty(), "{what}: {:?}", report.failed);
        assert_eq!(report.repaired.len(), 1, "{what}");
        assert!(
            shop.is_good(current),
            "{what}: {:?}",
            shop.store.verify(&image(), &current.version, shop.signers.keys())
        );
        let second = shop.reconcile(true);
        assert!(second.planned.plan.is_empty(), "{what}: {}", planner::text(&second.planned));
        assert_eq!(std::fs::read(folder.join("manifest.json")).unwrap(), before, "{what}: another release");
        assert_eq!(shop.store.index(shop.signers.keys()).unwrap().serial, 2, "{what}");
        assert!(!shop.page("demo/index.html").contains("notice"), "{what}");
        let _ = std::fs::remove_dir_all(shop.dir.path().join(".bootwright/artifacts"));
    }
    // What was replaced or did not belong there is kept, and served to nobody.
    let mode = shop.store.path().join(".quarantine").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let kept = shop.quarantined();
    for name in ["extra.iso", "lock.yaml", "lock.yaml.1", "SHA256SUMS", "evidence/..hidden \n"] {
        assert!(
            kept.iter().any(|k| k.ends_with(name) && k.starts_with("2026-11-20/demo/")),
            "{name}: {kept:?}"
        );
    }
}

#[test]
fn the_same_goes_for_a_release_that_no_channel_points_to() {
    let shop = Shop::new();
    let old = &shop.manifests()[1];
    let folder = shop.folder(old);
    std::fs::remove_file(folder.join("lock.yaml")).unwrap();
    plan_says(&shop, false, &format!("{}: published file lock.yaml is missing", old.version));
    assert_eq!(shop.reconcile(false).repaired.len(), 1);
    assert!(shop.is_good(old));
    assert!(shop.reconcile(false).planned.plan.is_empty());

    // Nothing has its ISO any more: it is told, again and again, and nothing is to be done.
    std::fs::remove_file(folder.join(name_of(old, ".iso"))).unwrap();
    for _ in 0..2 {
        let report = shop.reconcile(false);
        assert!(report.planned.plan.is_empty(), "{}", planner::text(&report.planned));
        let text = planner::text(&report.planned);
        let words = format!("{} is damaged and nothing here makes it whole: published file", old.version);
        assert!(text.contains(&words), "{text}");
    }

    assert!(!shop.page("demo/index.html").contains("Do not use"), "it is on no channel");

    // Its whole folder is gone: the index lets go of it, with a serial of its own.
    std::fs::remove_dir_all(&folder).unwrap();
    plan_says(&shop, false, &format!("{}: the folder of the published release is missing", old.version));
    plan_says(&shop, false, "take it out of the index");
    assert_eq!(shop.reconcile(false).repaired.len(), 1);
    let index = shop.store.index(shop.signers.keys()).unwrap();
    assert_eq!((index.serial, index.images[&image()].releases.len()), (3, 1));
    assert!(shop.reconcile(true).planned.plan.is_empty());
}

#[test]
fn a_channel_that_the_spec_does_not_name_is_watched_too() {
    let shop = Shop::new();
    let old = &shop.manifests()[1];
    let stable = "stable".parse().unwrap();
    shop.store.promote(&image(), &old.version, &stable, &shop.signers, noon()).unwrap();
    std::fs::remove_file(shop.folder(old).join("manifest.json.sig")).unwrap();
    plan_says(&shop, false, &format!("{}: published file manifest.json has no signature", old.version));
    assert_eq!(shop.reconcile(false).repaired.len(), 1);
    assert!(shop.is_good(old));
    std::fs::remove_file(shop.folder(old).join(name_of(old, ".iso"))).unwrap();
    for _ in 0..2 {
        let report = shop.reconcile(false);
        assert!(report.planned.plan.is_empty(), "{}", planner::text(&report.planned));
        assert_eq!(report.planned.report[0].lost[0].version, old.version);
        assert_eq!(shop.page("demo/index.html").matches("Do not use this release: ").count(), 1);
    }
    // A channel that points to a release is no reason to keep a folder that is not there, but
    // nothing takes it out of the index either.
    std::fs::remove_dir_all(shop.folder(old)).unwrap();
    assert!(shop.reconcile(false).planned.plan.is_empty());
    assert_eq!(shop.manifests_listed().len(), 2);
}

/// Damage that nothing but a build cures.
const NEEDS_BUILD: [(&str, Plant, &str); 6] = [
    ("no ISO", |_, f, m| std::fs::remove_file(f.join(name_of(m, ".iso"))).unwrap(), ".iso is missing"),
    (
        "no manifest",
        |_, f, _| std::fs::remove_file(f.join("manifest.json")).unwrap(),
        "manifest.json is missing",
    ),
    ("another manifest", |_, f, _| flip(&f.join("manifest.json"), 30), "manifest.json was altered"),
    (
        "no folder",
        |_, f, _| std::fs::remove_dir_all(f).unwrap(),
        "the folder of the published release is missing",
    ),
    (
        "no provenance",
        |_, f, m| std::fs::remove_file(f.join(name_of(m, ".intoto.jsonl"))).unwrap(),
        ".intoto.jsonl is missing",
    ),
    (
        "a copy of the ISO that is not one",
        |shop, f, m| {
            std::fs::remove_file(f.join(name_of(m, ".iso"))).unwrap();
            let mut bytes = Shop::iso("two");
            bytes[100] ^= 1;
            leave_built(shop, m, &bytes);
        },
        ".iso is missing",
    ),
];

#[test]
fn the_last_good_release_stays_served_and_the_page_says_why() {
    for (what, plant, words) in NEEDS_BUILD {
        let shop = Shop::new();
        let manifests = shop.manifests();
        let (current, old) = (&manifests[0], &manifests[1]);
        plant(&shop, &shop.folder(current), current);
        plan_says(&shop, false, words);
        let plan = shop.plan(false);
        let step = &plan.planned.plan.steps[0];
        assert!(
            matches!(&step.action, Action::Build { version, .. } if *version == current.version),
            "{what}: {step:?}"
        );
        let damaged = plan.planned.report[0].damaged.as_ref().unwrap();
        assert_eq!(damaged.whole.as_ref(), Some(&old.version), "{what}");

        // The build cannot succeed here: there is no mirror.
        let report = shop.reconcile(false);
        assert_eq!(report.failed.len(), 1, "{what}: {report:?}");
        let page = shop.page("demo/index.html");
        assert!(page.contains("Do not use this release: "), "{what}: {page}");
        assert!(
            page.contains(&format!("that is whole: <a href=\"{0}/index.html\">{0}</a>", old.version)),
            "{what}"
        );
        assert!(
            shop.page("index.html").contains(&format!("<a href=\"demo/{}/index.html\">", old.version)),
            "{what}"
        );
        assert!(shop.is_good(old), "{what}");

        // Nothing is rewritten while nothing changes.
        let before = shop.files();
        shop.reconcile(false);
        assert_eq!(shop.files(), before, "{what}");

        // Published again by a build elsewhere: the page has nothing to say any more.
        if what == "no ISO" {
            let again = shop.publish("two", 0);
            shop.reconcile(false);
            assert!(shop.is_good(&again) && !shop.page("demo/index.html").contains("Do not use"), "{what}");
        }
    }
}

#[test]
fn what_a_build_makes_again_goes_into_the_old_release() {
    let shop = Shop::new();
    let current = shop.manifests().remove(0);
    let iso = shop.folder(&current).join(name_of(&current, ".iso"));
    flip(&iso, 1000);
    let before = std::fs::read(shop.folder(&current).join("manifest.json")).unwrap();
    let built = tempfile::tempdir().unwrap();
    let copies = |_: &bootwright::model::Digest| vec![built.path().to_owned()];
    let keys = shop.signers.keys();
    let mends = || {
        let look = Look {
            keys,
            wanted: &[],
            beside: &[],
            whole_store: false,
            hash_older_than: None,
            copies: &copies,
            now: noon(),
            events: &Default::default(),
            cancel: &Default::default(),
        };
        shop.store.mends_from(&look, &image(), &current.version).unwrap()
    };
    std::fs::write(built.path().join("demo.iso"), "other bytes of the same recipe").unwrap();
    assert_eq!(mends(), None, "other bytes: a new release is needed");
    std::fs::write(built.path().join("demo.iso"), Shop::iso("two")).unwrap();
    let found = mends().unwrap();
    assert!(matches!(found.as_slice(), [Mend::Restore { .. }]), "{found:?}");
    shop.store.repair(&image(), &current.version, &found, &shop.signers, noon()).unwrap();
    assert!(shop.is_good(&current));
    assert_eq!(std::fs::read(shop.folder(&current).join("manifest.json")).unwrap(), before);
    assert_eq!(mends(), None, "nothing is wrong");
}

#[test]
fn a_repair_trusts_nothing_that_changed_since_the_plan() {
    let shop = Shop::new();
    let current = shop.manifests().remove(0);
    let folder = shop.folder(&current);
    let iso = name_of(&current, ".iso");
    let repair = |mends: &[Mend]| {
        shop.store.repair(&image(), &current.version, mends, &shop.signers, noon()).unwrap_err().code
    };
    let restore = |file: &str, from: &Path| {
        vec![Mend::Restore { file: file.to_owned(), from: from.display().to_string() }]
    };
    let bad = shop.dir.path().join("bad.iso");
    std::fs::write(&bad, vec![7; 70_003]).unwrap();
    assert_eq!(repair(&restore(&iso, &bad)), ErrorCode::Untrusted);
    assert!(shop.is_good(&current), "the wrong bytes were put there");
    assert_eq!(repair(&restore(&iso, &shop.dir.path().join("gone"))), ErrorCode::NotFound);
    assert_eq!(repair(&restore("../../../escape", &bad)), ErrorCode::Internal);
    assert_eq!(repair(&[Mend::Unlist]), ErrorCode::Internal, "a channel points to it");
    flip(&folder.join("SHA256SUMS"), 5);
    assert_eq!(repair(&[Mend::Sign { file: "SHA256SUMS".into() }]), ErrorCode::Untrusted);
    assert_eq!(repair(&[Mend::Rewrite { file: "manifest.json".into() }]), ErrorCode::Internal);
    flip(&folder.join("SHA256SUMS"), 5);
    // Cured of one thing and not of another: that is no success.
    flip(&folder.join("manifest.json.sig"), 5);
    assert_eq!(repair(&[Mend::Rewrite { file: "SHA256SUMS".into() }]), ErrorCode::Untrusted);
    flip(&folder.join("manifest.json.sig"), 5);
    assert!(shop.is_good(&current));
    flip(&folder.join("manifest.json"), 5);
    assert_eq!(repair(&[Mend::Sign { file: "manifest.json".into() }]), ErrorCode::Untrusted);
    // A release that is there again is not taken out of the index.
    let old = &shop.manifests_listed()[1];
    let failure = shop.store.repair(&image(), old, &[Mend::Unlist], &shop.signers, noon()).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Untrusted);
    assert_eq!(shop.manifests_listed().len(), 2);
}

#[test]
fn a_store_is_kept_tidy() {
    let shop = Shop::new();
    let stray = shop.store.path().join("demo/20200101-0123abcd");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("x.iso"), "bytes").unwrap();
    std::fs::create_dir_all(shop.store.path().join("gone/20200101-0123abcd")).unwrap();
    std::fs::create_dir_all(shop.store.path().join(".staging/demo-abc/release")).unwrap();
    std::fs::write(shop.store.path().join(".staging/demo-xyz.lock"), "").unwrap();
    for page in
        ["style.css", "bootwright.pub", "index.html", "demo/index.html", "index.json", "index.json.sig"]
    {
        std::fs::remove_file(shop.store.path().join(page)).unwrap();
        plan_says(&shop, false, &format!("{page} is missing"));
    }
    // What is somebody else's is not looked at.
    std::fs::write(shop.store.path().join("robots.txt"), "x").unwrap();
    std::fs::create_dir_all(shop.store.path().join("demo/notes")).unwrap();
    plan_says(&shop, false, "move to quarantine: the index does not list the folder demo/20200101-0123abcd");
    plan_says(&shop, false, "the index does not list the folder gone/20200101-0123abcd");
    plan_says(&shop, false, "a killed writer left .staging/demo-abc");
    plan_says(&shop, false, "a killed writer left .staging/demo-xyz.lock");
    let serial = shop.store.index(shop.signers.keys()).unwrap().serial;
    let report = shop.reconcile(false);
    // What a killed writer left, and the copies of the index, are in order before the plan.
    assert!(
        report.failed.is_empty() && report.planned.plan.store.len() == 6,
        "{:?}",
        report.planned.plan.store
    );
    let second = shop.reconcile(false);
    assert!(second.planned.plan.is_empty(), "{}", planner::text(&second.planned));
    assert_eq!(shop.quarantined(), ["2026-11-20/demo/20200101-0123abcd/x.iso"]);
    assert!(shop.store.path().join("robots.txt").exists() && shop.store.path().join("demo/notes").exists());
    assert_eq!(shop.store.index(shop.signers.keys()).unwrap().serial, serial, "the index has not changed");
    assert!(shop.page("demo/index.html").contains("demo"));

    // While somebody writes, what he has not put in its place yet is no stray.
    std::fs::create_dir_all(&stray).unwrap();
    let lock = bootwright::effects::files::FileLock::take(&shop.store.path().join(".lock")).unwrap();
    assert!(shop.plan(false).planned.plan.is_empty());
    drop(lock);
    // What a killed publisher left of the release that is wanted is taken up by a build.
    shop.spec("three", "");
    let wanted = bootwright::model::Version::of(noon(), &shop.resolved().recipe.digest());
    let left = shop.store.folder(&image(), &wanted).path().to_owned();
    std::fs::create_dir_all(&left).unwrap();
    let plan = shop.plan(false).planned.plan;
    assert_eq!(plan.store.len(), 1, "{:?}", plan.store);
    // A store whose index is lost is not emptied.
    shop.spec("two", "");
    std::fs::remove_file(shop.store.path().join("index.dsse.json")).unwrap();
    assert!(shop.plan(false).planned.plan.store.is_empty());
}

#[test]
fn deep_looks_hash_and_cheap_ones_notice_what_was_touched() {
    let shop = Shop::new();
    let manifests = shop.manifests();
    let (current, old) = (&manifests[0], &manifests[1]);
    let oci = shop.folder(current).join(name_of(current, ".oci.tar"));
    flip(&oci, 2);
    assert!(shop.plan(false).planned.plan.is_empty(), "never hashed: sizes are all that is known");
    plan_says(&shop, true, ".oci.tar was altered: its digest is");
    flip(&oci, 2);
    assert!(shop.reconcile(true).planned.plan.is_empty());

    // From now on a touched file is hashed without being asked, even with its old time.
    assert!(shop.hashed().is_empty(), "nothing was touched");
    let modified = oci.metadata().unwrap().modified().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    flip(&oci, 2);
    std::fs::File::options().write(true).open(&oci).unwrap().set_modified(modified).unwrap();
    plan_says(&shop, false, ".oci.tar was altered: its digest is");
    flip(&oci, 2);
    assert!(shop.plan(false).planned.plan.is_empty(), "touched and right");
    assert_eq!(shop.hashed(), [format!("check demo {}", current.version)]);
    assert!(shop.hashed().is_empty(), "remembered");
    // Wrong bytes are remembered as wrong.
    let log = shop.folder(old).join("evidence/boot-bios.log");
    let good = std::fs::read(&log).unwrap();
    flip(&shop.folder(old).join(name_of(old, ".iso")), 10);
    assert_eq!(shop.hashed().len(), 1);
    assert!(shop.hashed().is_empty());
    let lost = &shop.plan(false).planned.report[0].lost;
    assert!(matches!(lost[0].defects.as_slice(), [Defect::Altered { .. }]), "{lost:?}");
    flip(&shop.folder(old).join(name_of(old, ".iso")), 10);
    std::fs::write(&log, good).unwrap();
    assert!(shop.plan(false).planned.report[0].lost.is_empty());
}

#[test]
fn every_byte_is_hashed_when_the_schedule_says_so() {
    let shop = Shop::new();
    assert!(shop.hashed().is_empty(), "no schedule");
    // The 20th of November 2026 is a Friday.
    shop.settings("  deepCheck: \"0 4 * * 0\"\n  deepCheckTimeZone: Europe/Berlin\n");
    assert_eq!(shop.hashed().len(), 2, "never done: due");
    assert!(shop.hashed().is_empty(), "done");
    shop.later(1);
    assert!(shop.hashed().is_empty(), "Saturday");
    shop.later(1);
    // A plan does not hash everything again and again: it cannot remember.
    flip(&shop.folder(&shop.manifests()[0]).join("lock.yaml"), 3);
    flip(&shop.folder(&shop.manifests()[0]).join("lock.yaml"), 3);
    assert!(shop.plan(false).planned.plan.is_empty());
    assert_eq!(shop.hashed().len(), 2, "Sunday noon");
    assert!(shop.hashed().is_empty());
    // Losing the state makes it due.
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(shop.dir.path().join(".bootwright").join(name));
    }
    assert_eq!(shop.hashed().len(), 2);
    for (settings, words) in [
        ("  deepCheck: weekly\n", "is not a schedule"),
        ("  deepCheckTimeZone: Europe/Berlin\n", "nothing reads this"),
        ("  deepCheck: \"0 4 * * 0\"\n  deepCheckTimeZone: Berlin\n", "deepCheckTimeZone"),
        ("  retention: {hold: [demo]}\n", "is not a release"),
        ("  retention: {hold: [demo/latest]}\n", "is not a release"),
        ("  retention: {keep: -1}\n", "keep"),
        ("  retention: {keeps: 1}\n", "keeps"),
    ] {
        shop.settings(settings);
        let request = bootwright::ops::CheckRequest {
            catalog: bootwright::ops::CatalogRef { location: ".".into(), rev: None },
        };
        let report = bootwright::ops::check(&shop.context(), request).unwrap();
        let found = format!("{:?}", report.problems);
        assert!(found.contains(words), "{settings}: {found}");
    }
}

#[test]
fn a_release_past_its_freshness_says_why() {
    let shop = Shop::new();
    let stale = |shop: &Shop| {
        let report = shop.reconcile(false);
        assert!(report.failed.is_empty());
        report.planned.report[0].stale.as_ref().map(ToString::to_string)
    };
    shop.spec("two", "  freshness: {maxAgeDays: 7}\n  paused: true\n");
    assert_eq!(stale(&shop), None, "of today");
    shop.later(7);
    assert_eq!(stale(&shop), None, "seven days are allowed");
    let before = shop.files();
    shop.later(5);
    let words = "stale, 12 days, because its spec says `paused: true`";
    assert_eq!(stale(&shop).unwrap(), words);
    let plan = shop.plan(false);
    assert!(planner::text(&plan.planned).contains(words) && plan.markdown.contains("stale"));
    assert_eq!(serde_json::to_value(&plan).unwrap()["report"][0]["stale"]["days"], 12);
    for page in ["index.html", "demo/index.html"] {
        assert!(
            shop.page(page).contains("This release is stale, 12 days, because its spec says `paused: true`."),
            "{page}"
        );
    }
    let list = bootwright::ops::release_list(
        &shop.context(),
        bootwright::ops::ReleaseListRequest {
            catalog: bootwright::ops::CatalogRef { location: ".".into(), rev: None },
            store: None,
            image: None,
        },
    )
    .unwrap();
    assert_eq!(list.images[0].releases[0].notes, [words]);
    assert!(list.images[0].releases[1].notes.is_empty());

    // Written when it changes, and only then; and only what changes.
    let (old, new): (Vec<_>, Vec<_>) = (before, shop.files());
    let changed: Vec<String> = new
        .iter()
        .filter(|file| !old.contains(file))
        .map(|(path, _)| path.strip_prefix(shop.store.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(changed, ["demo/index.html", "index.html", "status.json"]);
    assert_eq!(stale(&shop).unwrap(), words);
    assert_eq!(shop.files(), new, "nothing changed");
    shop.later(1);
    assert!(stale(&shop).unwrap().contains("13 days"));
    assert_ne!(shop.files(), new);

    // Another channel with the same release says the same.
    let (version, stable) = (shop.manifests()[0].version.clone(), "stable".parse().unwrap());
    shop.store.promote(&image(), &version, &stable, &shop.signers, noon()).unwrap();
    assert_eq!(shop.page("demo/index.html").matches("This release is stale, 13 days").count(), 2);

    // A pinned lock waits for a commit; without one, staleness itself has the mirrors asked.
    shop.spec("two", "  freshness: {maxAgeDays: 7}\n");
    assert_eq!(
        stale(&shop).unwrap(),
        "stale, 13 days, because its lock is pinned: run `bootwright lock --update` and commit"
    );
    std::fs::remove_file(shop.dir.path().join("specs/demo.lock.yaml")).unwrap();
    plan_says(&shop, false, "it is 13 days old, its spec allows 7, and it has no schedule");
    let report = shop.reconcile(false);
    assert_eq!(report.failed.len(), 1, "there is no mirror to ask");
    let why = shop.page("demo/index.html");
    assert!(why.contains("stale, 13 days, because it"), "{why}");
    let again = shop.reconcile(false);
    let stale = again.planned.report[0].stale.clone().unwrap().because;
    assert!(stale.contains(&report.failed[0].failure.message), "the deciding failure: {stale}");

    // Good news goes to the page as well.
    shop.spec("two", "  freshness: {maxAgeDays: 30}\n");
    shop.reconcile(false);
    for page in ["index.html", "demo/index.html"] {
        assert!(!shop.page(page).contains("stale"), "{page}");
    }
    assert_eq!(
        shop.store.index(shop.signers.keys()).unwrap().on_channel(&image(), &edge()).unwrap().version,
        shop.manifests()[0].version
    );
}
