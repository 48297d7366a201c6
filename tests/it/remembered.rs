//! Rounds that find nothing to do remember what they saw. Nothing that is remembered may hide a
//! change: everything that a plan depends on is changed here in turn.

mod house;
mod inputs;
mod oracle;
#[path = "../../benches/scale/releases.rs"]
mod releases;

use crate::catalog::{Repository, SPEC, read};
use bootwright::catalog::{self, Location, lock_path, lock_text};
use bootwright::effects::Clock;
use bootwright::model::lock::{LOCK_VERSION, LockedIndex, LockedPackage};
use bootwright::model::plan::{Planned, Status};
use bootwright::model::{Digest, Lock, OsImage, Result};
use bootwright::ops::{self, CatalogRef, Context, PlanRequest};
use bootwright::release::keys;
use bootwright::resolve;
use std::path::{Path, PathBuf};

pub(crate) const SETTINGS: &str =
    "apiVersion: bootwright/v1\nkind: Settings\nsigning: {key: keys/bootwright.key}\n";
pub(crate) const IMAGES: [&str; 3] = ["edge", "lab", "core"];

pub(crate) fn spec(name: &str) -> String {
    let labels = format!("  name: {name}\n  labels: {{of: {name}}}\n");
    format!(
        "{}  channel: stable\n  postInstall: {{scripts: [specs/{name}.sh]}}\n",
        SPEC.replace("  name: edge\n", &labels)
    )
}

fn lock(image: &OsImage) -> Lock {
    let request = resolve::request(image, &bootwright::model::packaging::PackageSettings::default()).unwrap();
    let layers = request.layers.clone();
    let packages = layers.iter().flat_map(|layer| {
        layer.packages.iter().map(move |name| LockedPackage {
            name: name.clone(),
            version: "1.0".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: Digest::of(name.as_str()),
            size: 1,
            path: format!("pool/{name}.deb"),
            suite: "bookworm".to_owned(),
            layer: layer.name.clone(),
            wave: 0,
        })
    });
    let index = LockedIndex {
        suite: "bookworm".to_owned(),
        date: "2026-09-05T10:00:00Z".parse().unwrap(),
        digest: Digest::of("index"),
        keyring: Digest::of("keyring"),
    };
    let packages = packages.collect();
    Lock {
        lock_version: LOCK_VERSION,
        image: image.metadata.name.clone(),
        request,
        indexes: vec![index],
        dates: Vec::new(),
        passed_over: Vec::new(),
        packages,
    }
}

pub(crate) struct World {
    pub(crate) repo: Repository,
}

impl World {
    fn new() -> Self {
        Self::made(&[], spec, &["bootwright"])
    }

    /// A world with more files, and other specs.
    pub(crate) fn with(files: &[(&str, &str)], spec: impl Fn(&str) -> String) -> Self {
        Self::made(files, spec, &["bootwright"])
    }

    /// With releases that each of these keys signed.
    fn signed_by(keys: &[&str]) -> Self {
        Self::made(&[], spec, keys)
    }

    fn made(files: &[(&str, &str)], spec: impl Fn(&str) -> String, keys: &[&str]) -> Self {
        let world = Self { repo: Repository::new() };
        for (path, text) in files {
            world.repo.write(path, text);
        }
        world.repo.write("bootwright.yaml", SETTINGS);
        world.repo.write(".gitignore", "/keys/\n/releases/\n/.bootwright/\n");
        for name in IMAGES {
            world.repo.write(&format!("specs/{name}.yaml"), &spec(name));
            world.repo.write(&format!("specs/{name}.sh"), "#!/bin/sh\n");
            world.repo.write(&format!("specs/overlays/{name}/etc/motd"), "hello\n");
        }
        let load = || {
            let files = read(&Location::WorkTree(world.path(""))).unwrap();
            catalog::load(&files).unwrap_or_else(|found| panic!("{found:?}"))
        };
        for (name, document) in &load().images {
            world.repo.write(&lock_path(name), &lock_text(&lock(&document.spec)));
        }
        for name in keys {
            keys::write_key_pair(&world.path(&format!("keys/{name}.key")), None).unwrap();
        }
        let keys: Vec<PathBuf> = keys.iter().map(|name| world.path(&format!("keys/{name}.key"))).collect();
        releases::publish_all(&load(), &world.path("releases"), &keys).unwrap();
        world.repo.commit("sound");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.repo.path().join(name)
    }

    fn plan_only(&self, only: &[&str], force: &[&str]) -> Result<Planned> {
        self.plan_as(only, force, Clock::System, false)
    }

    fn plan_as(&self, only: &[&str], force: &[&str], clock: Clock, deep: bool) -> Result<Planned> {
        let context = Context { cwd: self.path(""), clock, ..Context::default() };
        let catalog = CatalogRef { location: ".".to_owned(), rev: Some("HEAD".to_owned()) };
        let only = only.iter().map(|text| text.parse().unwrap()).collect();
        let force = force.iter().map(|text| text.parse().unwrap()).collect();
        ops::plan(&context, PlanRequest { catalog, only, force, deep }).map(|report| report.planned)
    }

    pub(crate) fn plan(&self) -> Result<Planned> {
        self.plan_only(&[], &[])
    }

    /// The images that the plan has steps for, and how many it speaks of.
    pub(crate) fn steps(&self) -> (Vec<String>, usize) {
        let planned = self.plan().unwrap_or_else(|f| panic!("{f} {:?}", f.details));
        let steps = planned.plan.steps.iter().map(|step| step.image.to_string()).collect();
        (steps, planned.report.len())
    }

    pub(crate) fn nothing_to_do(&self, when: &str) {
        assert_eq!(self.steps(), (Vec::new(), IMAGES.len()), "{when}");
    }

    pub(crate) fn memory(&self) -> PathBuf {
        self.path(".bootwright/memory.json")
    }

    /// Files of the release of `edge`.
    fn release(&self, file: &str) -> PathBuf {
        let folder = self.path("releases/edge");
        let version = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        version.join(file)
    }
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn every_change_of_a_catalog_shows() {
    let world = World::new();
    world.nothing_to_do("first");
    world.nothing_to_do("remembered");
    let remembered = std::fs::read_to_string(world.memory()).unwrap();
    assert!(IMAGES.iter().all(|name| remembered.contains(&format!("specs/{name}.yaml"))), "{remembered}");

    let file = |name: &str| world.path(name);
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a [&'a str]);
    let edge: &[&str] = &["edge"];
    let changes: Vec<Change<'_>> = vec![
        (
            "a field",
            Box::new(|| {
                replace(
                    &file("specs/edge.yaml"),
                    "channel: stable",
                    "channel: stable\n  defaults: {hostname: other}",
                )
            }),
            edge,
        ),
        (
            "the channel",
            Box::new(|| replace(&file("specs/edge.yaml"), "channel: stable", "channel: edge")),
            edge,
        ),
        (
            "a package of the lock",
            Box::new(|| replace(&file("specs/edge.lock.yaml"), "\"1.0\"", "\"1.1\"")),
            edge,
        ),
        (
            "the date of the lock",
            Box::new(|| replace(&file("specs/edge.lock.yaml"), "2026-09-05", "2026-09-06")),
            edge,
        ),
        ("no lock", Box::new(|| std::fs::remove_file(file("specs/edge.lock.yaml")).unwrap()), &[]),
        (
            "an overlay file",
            Box::new(|| std::fs::write(file("specs/overlays/edge/etc/motd"), "other\n").unwrap()),
            edge,
        ),
        ("an overlay file more", Box::new(|| world.repo.write("specs/overlays/edge/etc/issue", "x\n")), edge),
        ("no overlay", Box::new(|| std::fs::remove_dir_all(file("specs/overlays/edge")).unwrap()), edge),
        (
            "the mode of an overlay file",
            Box::new(|| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(file("specs/overlays/edge/etc/motd"), mode).unwrap();
            }),
            edge,
        ),
        (
            "a link in an overlay file's place",
            Box::new(|| {
                std::fs::remove_file(file("specs/overlays/edge/etc/motd")).unwrap();
                std::os::unix::fs::symlink("issue", file("specs/overlays/edge/etc/motd")).unwrap();
            }),
            edge,
        ),
        (
            "a script",
            Box::new(|| std::fs::write(file("specs/edge.sh"), "#!/bin/sh\nexit 1\n").unwrap()),
            edge,
        ),
        (
            "a setting that shapes the bytes",
            Box::new(|| {
                std::fs::write(file("bootwright.yaml"), format!("{SETTINGS}build: {{compression: small}}\n"))
                    .unwrap();
            }),
            &IMAGES,
        ),
        (
            "two documents in one file",
            Box::new(|| {
                let more = std::fs::read_to_string(file("specs/lab.yaml")).unwrap();
                let both =
                    format!("{}---\n{}", std::fs::read_to_string(file("specs/edge.yaml")).unwrap(), more);
                std::fs::write(file("specs/edge.yaml"), both).unwrap();
                std::fs::remove_file(file("specs/lab.yaml")).unwrap();
            }),
            &[],
        ),
    ];
    for (what, change, images) in changes {
        change();
        world.repo.commit(what);
        let mut expected: Vec<String> = images.iter().map(ToString::to_string).collect();
        expected.sort();
        if what == "no lock" {
            // The published lock still answers: the same recipe.
            assert_eq!(world.steps().1, IMAGES.len(), "{what}");
        } else {
            for round in ["first", "second"] {
                assert_eq!(world.steps(), (expected.clone(), IMAGES.len()), "{what}, {round} plan");
            }
        }
        world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        world.nothing_to_do(&format!("after {what} was taken back"));
    }

    type Harm<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a str);
    let refused: Vec<Harm<'_>> = vec![
        (
            "a broken spec",
            Box::new(|| replace(&file("specs/edge.yaml"), "channel: stable", "chanel: stable")),
            "unknown field",
        ),
        (
            "a broken lock",
            Box::new(|| replace(&file("specs/edge.lock.yaml"), "size: 1", "size: x")),
            "cannot be read",
        ),
        (
            "an outdated lock",
            Box::new(|| {
                replace(
                    &file("specs/edge.yaml"),
                    "channel: stable",
                    "channel: stable\n  packages: {utils: [nano]}",
                )
            }),
            "out of date",
        ),
        (
            "a setting that forbids",
            Box::new(|| {
                std::fs::write(file("bootwright.yaml"), format!("{SETTINGS}channels: [edge]\n")).unwrap()
            }),
            "not one of",
        ),
        (
            "a missing script",
            Box::new(|| std::fs::remove_file(file("specs/edge.sh")).unwrap()),
            "there is no file",
        ),
        (
            "a script that is none",
            Box::new(|| std::fs::write(file("specs/edge.sh"), "echo\n").unwrap()),
            "does not start with #!",
        ),
        ("a lock of nobody", Box::new(|| world.repo.write("specs/nobody.lock.yaml", "x")), "of no image"),
        (
            "an overlay of nobody",
            Box::new(|| world.repo.write("specs/overlays/nobody/x", "x")),
            "of no image",
        ),
        (
            "a file of nobody",
            Box::new(|| world.repo.write("specs/nobody.sh", "x")),
            "nothing reads this file",
        ),
        (
            "a second image of the name",
            Box::new(|| world.repo.write("specs/zz.yaml", &spec("edge"))),
            "two images",
        ),
    ];
    for (what, change, words) in refused {
        change();
        world.repo.commit(what);
        for round in ["first", "second"] {
            let failure = world.plan().err().unwrap_or_else(|| panic!("{what}, {round}: was taken"));
            let text = format!("{failure} {}", failure.details.clone().unwrap_or_default());
            assert!(text.contains(words), "{what}, {round}: {text}");
        }
        world.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        world.nothing_to_do(&format!("after {what} was taken back"));
    }

    // What no image reads is judged over all images, also over those that were not read.
    world.repo.write("bootwright.yaml", &format!("{SETTINGS}store: {{registry: ghcr.io/example}}\n"));
    replace(&file("specs/lab.yaml"), "channel: stable", "channel: stable\n  outputs: [iso, oci]");
    world.repo.commit("an image for a registry");
    for round in ["first", "second"] {
        assert_eq!(world.steps().0, ["lab"], "{round} plan with a registry");
    }
    replace(&file("specs/lab.yaml"), "\n  outputs: [iso, oci]", "");
    world.repo.commit("no image for the registry");
    for round in ["first", "second"] {
        let failure =
            world.plan().err().unwrap_or_else(|| panic!("{round}: a registry for nobody was taken"));
        let text = format!("{failure} {}", failure.details.clone().unwrap_or_default());
        assert!(text.contains("no image has the output oci"), "{round}: {text}");
    }
    world.repo.git(&["reset", "-q", "--hard", "HEAD~2"]);
    world.nothing_to_do("without a registry");

    std::fs::remove_file(file("specs/lab.yaml")).unwrap();
    for gone in ["specs/lab.lock.yaml", "specs/lab.sh", "specs/overlays/lab/etc/motd"] {
        std::fs::remove_file(file(gone)).unwrap();
    }
    world.repo.commit("one image less");
    assert_eq!(world.steps(), (Vec::new(), 2));
}

#[test]
fn every_change_of_a_release_shows() {
    let world = World::new();
    // A change within the tick of the last look would not show: what is fresh is looked at in full.
    world.nothing_to_do("fresh");
    let looks =
        |world: &World| std::fs::read_to_string(world.memory()).unwrap().contains("\"stable\":\"sha256:");
    assert!(!looks(&world), "what is fresh is not remembered");
    std::thread::sleep(std::time::Duration::from_millis(3100));
    world.nothing_to_do("quiet");
    assert!(looks(&world));
    world.nothing_to_do("remembered");
    let named = |end: &str| {
        let found = std::fs::read_dir(world.release("")).unwrap().flatten().map(|e| e.path());
        found.into_iter().find(|path| path.to_string_lossy().ends_with(end)).unwrap()
    };
    let iso = named(".iso");
    let touched: [(&str, PathBuf); 7] = [
        ("an image file", iso.clone()),
        ("the manifest", world.release("manifest.json")),
        ("the manifest's signature", world.release("manifest.json.sig")),
        ("the checksums", world.release("SHA256SUMS")),
        ("their signature", world.release("SHA256SUMS.sig")),
        ("the recipe", world.release("recipe.json")),
        ("evidence", world.release("evidence/boot-bios.log")),
    ];
    for (what, path) in touched {
        let good = std::fs::read(&path).unwrap();
        let harms: [(&str, &dyn Fn()); 2] = [
            ("missing", &|| std::fs::remove_file(&path).unwrap()),
            ("truncated", &|| std::fs::write(&path, &good[..good.len() / 2]).unwrap()),
        ];
        for (how, harm) in harms {
            harm();
            for round in ["first", "second"] {
                assert_eq!(world.steps().0, ["edge"], "{what} {how}, {round} plan");
            }
            std::fs::write(&path, &good).unwrap();
            world.nothing_to_do(&format!("{what} is there again"));
        }
    }
    // Another key's signature, and a store without an index.
    let envelope = world.path("releases/index.dsse.json");
    let good = std::fs::read(&envelope).unwrap();
    std::fs::remove_file(&envelope).unwrap();
    assert_eq!(world.steps().0.len(), IMAGES.len(), "no index");
    std::fs::write(&envelope, &good[..good.len() - 3]).unwrap();
    assert!(world.plan().is_err(), "a broken index");
    std::fs::write(&envelope, &good).unwrap();
    world.nothing_to_do("the index is there again");
    for name in ["bootwright.key", "bootwright.pub"] {
        std::fs::remove_file(world.path(&format!("keys/{name}"))).unwrap();
    }
    keys::write_key_pair(&world.path("keys/bootwright.key"), None).unwrap();
    assert!(world.plan().is_err(), "nobody trusts the key that signed the index any more");
}

#[test]
fn asking_for_some_images_works_on_what_is_remembered() {
    let world = World::new();
    world.nothing_to_do("first");
    let names = |planned: &Planned| planned.report.iter().map(|r| r.image.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&world.plan_only(&["lab"], &[]).unwrap()), ["lab"]);
    assert_eq!(names(&world.plan_only(&["of=core"], &[]).unwrap()), ["core"]);
    assert!(world.plan_only(&["nobody"], &[]).is_err());
    let forced = world.plan_only(&[], &["lab"]).unwrap();
    assert_eq!(forced.plan.steps.len(), 1);
    assert_eq!(names(&forced), ["core", "edge", "lab"]);
    replace(&world.path("specs/lab.yaml"), "channel: stable", "channel: stable\n  paused: true");
    world.repo.commit("paused");
    let planned = world.plan().unwrap();
    assert!(planned.report.iter().any(|r| r.image.as_str() == "lab" && r.status == Status::Paused));
    assert_eq!(world.plan().unwrap().report, planned.report, "and it stays paused");
    // Memory that is gone or broken is made anew.
    for text in ["", "x"] {
        std::fs::write(world.memory(), text).unwrap();
        assert_eq!(world.plan().unwrap().report, planned.report);
    }
}
