//! Release stores in a bucket, against a service that is another's implementation.

mod killed;
mod must_fail;
mod server;

use super::release::publication;
use bootwright::effects::place::Credentials;
use bootwright::effects::{Cancel, Place};
use bootwright::model::bucket::Access;
use bootwright::model::event::Emitter;
use bootwright::model::name::{ChannelName, ImageName};
use bootwright::model::observed::Defect;
use bootwright::model::release::Manifest;
use bootwright::model::{ErrorCode, FailureClass};
use bootwright::release::store::fetch::{Fetch, Source, Wanted, fetch, fetch_from};
use bootwright::release::store::prune::Retention;
use bootwright::release::{Signer, Signers, Store, Trust, keys};
use chrono::{DateTime, TimeDelta, Utc};
use server::Server;
use std::path::Path;

fn image() -> ImageName {
    "demo".parse().unwrap()
}

fn edge() -> ChannelName {
    "edge".parse().unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn credentials() -> Credentials {
    Credentials::read(|name| match name {
        "AWS_ACCESS_KEY_ID" => Some("someone".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("s3cret".to_owned()),
        _ => None,
    })
}

/// A service, a store in its bucket, and who signs.
struct Shop {
    server: Server,
    dir: tempfile::TempDir,
    store: Store,
    signers: Signers,
}

impl Shop {
    fn new() -> Self {
        let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
        let signers = Signers::alone(signer());
        let store = open(&server, dir.path(), "s3://images/store").unwrap();
        Self { server, dir, store, signers }
    }

    /// The same store as another host opens it.
    fn other(&self) -> Store {
        open(&self.server, &self.dir.path().join("other"), "s3://images/store").unwrap()
    }

    fn publish(&self, nginx: &str, at: i64) -> Manifest {
        self.store.publish(publication(self.dir.path(), nginx, at), &self.signers).unwrap()
    }

    fn trust(&self) -> &Trust {
        self.signers.keys()
    }

    fn defects(&self, manifest: &Manifest) -> Vec<Defect> {
        self.store.verify(&image(), &manifest.version, self.trust()).unwrap()
    }

    fn key(manifest: &Manifest, name: &str) -> String {
        format!("demo/{}/{name}", manifest.version)
    }

    async fn fetch_to(&self, source: Option<&str>, to: &Path) -> bootwright::model::Result<u64> {
        let (events, cancel) = (Emitter::default(), Cancel::default());
        let request = Fetch {
            source: source.unwrap_or("s3://images/store"),
            image: &image(),
            wanted: Wanted::Channel(edge()),
            only: &[],
            to,
            keys: self.trust(),
            memory: None,
        };
        let fetched = match source {
            Some(_) => fetch(&request, &events, &cancel).await,
            None => {
                let place = Source::Place(self.store.place().clone());
                fetch_from(&place, &request, &events, &cancel).await
            }
        };
        fetched.map(|fetched| fetched.serial)
    }
}

fn signer() -> Signer {
    Signer::parse(&keys::generate(None).unwrap().0, None).unwrap()
}

fn open(server: &Server, scratch: &Path, address: &str) -> bootwright::model::Result<Store> {
    let access = Access { endpoint: Some(server.endpoint()), ..Access::parse(address).unwrap() };
    let (events, cancel) = (Emitter::default(), Cancel::default());
    Place::bucket(&access, &credentials(), &scratch.join("scratch"), &events, &cancel).map(Store::at)
}

fn name_of(manifest: &Manifest, end: &str) -> String {
    manifest.files.iter().find(|f| f.name.ends_with(end)).unwrap().name.clone()
}

/// Published, listed, verified, fetched by who publishes and by everybody.
#[test]
fn a_release_goes_up_and_comes_back() {
    let shop = Shop::new();
    assert!(shop.store.list(shop.trust()).unwrap().is_empty());
    assert!(!shop.store.needs_mending());
    let (first, second) = (shop.publish("1", 0), shop.publish("2", 86_400));
    assert_eq!((shop.defects(&first), shop.defects(&second)), (vec![], vec![]));
    let listed = shop.other().list(shop.trust()).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].version, second.version);
    assert!(!shop.store.needs_mending());
    assert_eq!(shop.server.keys("."), Vec::<String>::new(), "neither lock nor staging is left");
    assert_eq!(shop.server.open_uploads(), 0);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    for source in [None, Some(shop.server.web())] {
        let to = tempfile::tempdir().unwrap();
        let serial = runtime.block_on(shop.fetch_to(source.as_deref(), to.path())).unwrap();
        assert_eq!(serial, 2, "{source:?}");
        let folder = bootwright::release::store::check::verify_folder(to.path(), shop.trust()).unwrap();
        assert_eq!((folder.0, folder.1), (Some(second.clone()), vec![]), "{source:?}");
    }
    let page = shop.server.get("index.html").unwrap();
    assert!(String::from_utf8(page).unwrap().contains("demo"));

    // The very same again: nothing of the release is sent, and nothing of the index.
    let before = shop.server.log().len();
    let again = shop.store.publish(publication(shop.dir.path(), "2", 86_400), &shop.signers).unwrap();
    assert_eq!(again, second);
    assert_eq!(shop.server.writes(before, "/demo/2"), 0);
    assert_eq!(shop.server.writes(before, "index.dsse.json"), 0);
}

/// The index is made only where there is none and replaced only while it is the one that was
/// read; releases come before it.
#[test]
fn the_index_is_the_last_word_and_is_never_overwritten_unseen() {
    let shop = Shop::new();
    shop.publish("1", 0);
    shop.publish("2", 86_400);
    let log = shop.server.log();
    let index: Vec<&[String; 5]> =
        log.iter().filter(|l| l[0] == "PUT" && l[1].ends_with("/index.dsse.json")).collect();
    assert_eq!(index.len(), 2);
    assert_eq!((index[0][3].as_str(), index[0][4].as_str()), ("", "*"));
    assert!(!index[1][3].is_empty() && index[1][4].is_empty(), "{index:?}");
    let at = |end: &str| log.iter().position(|l| l[0] == "PUT" && l[1].ends_with(end)).unwrap();
    assert!(at(".iso") < at("/manifest.json") && at("/manifest.json") < at("/index.dsse.json"));
}

/// Two publishers whose lock was lost: what both say of different images is kept, and of the
/// same image the second one is told who was first.
#[test]
fn a_lost_race_is_followed_or_told() {
    let shop = Shop::new();
    shop.publish("1", 0);
    let (mine, theirs) = (shop.store.clone(), shop.other());
    let staged = mine.stage(publication(shop.dir.path(), "2", 86_400), &shop.signers).unwrap();
    shop.server.delete(".lock");
    let other = tempfile::tempdir().unwrap();
    let mut foreign = publication(other.path(), "3", 90_000);
    foreign.channel = "beta".parse().unwrap();
    let third = theirs.publish(foreign, &shop.signers).unwrap();
    let failure = staged.publish().unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::Stalled, FailureClass::Host));
    assert!(failure.message.contains("somebody else changed demo") && failure.message.contains("serial 2"));
    let index = shop.store.index(shop.trust()).unwrap();
    assert_eq!((index.serial, index.images[&image()].releases.len()), (2, 2));
    assert_eq!(shop.defects(&third), vec![]);
    // Run again, it goes through: the release is there already and is not sent again.
    let before = shop.server.log().len();
    let second = shop.publish("2", 86_400);
    assert_eq!(shop.server.writes(before, ".iso"), 0);
    assert_eq!(shop.defects(&second), vec![]);
    assert_eq!(shop.store.index(shop.trust()).unwrap().images[&image()].releases.len(), 3);
}

#[test]
fn first_indexes_of_two_publishers_do_not_replace_one_another() {
    let shop = Shop::new();
    let (mine, theirs) = (shop.store.clone(), shop.other());
    let staged = mine.stage(publication(shop.dir.path(), "1", 0), &shop.signers).unwrap();
    shop.server.delete(".lock");
    let other = tempfile::tempdir().unwrap();
    theirs.publish(publication(other.path(), "2", 0), &shop.signers).unwrap();
    assert!(staged.publish().is_err());
    assert_eq!(shop.store.index(shop.trust()).unwrap().images[&image()].releases.len(), 1);
}

/// Whoever writes keeps others waiting; a dead holder of this host does not.
#[test]
fn one_writer_at_a_time() {
    let shop = Shop::new();
    let held = shop.store.place().join(".lock").lock().unwrap();
    let other = shop.other();
    assert!(other.place().join(".lock").try_lock().unwrap().is_none());
    assert!(other.place().join(".lock").is_locked().unwrap());
    held.check().unwrap();
    drop(held);
    assert!(!other.place().join(".lock").is_locked().unwrap());
    assert!(shop.server.get(".lock").is_none());
    // A number that no process has, of this boot and this namespace of processes.
    let mine = bootwright::effects::alive::identity(std::process::id());
    let dead = serde_json::json!({"id": "0190b3a4-0000-7000-8000-000000000000", "host": "here", "renewed": 3,
        "process": {"boot": mine.boot, "pid": (1 << 22) + 1, "started": 1}});
    shop.server.put(".lock", dead.to_string().as_bytes());
    assert!(!other.place().join(".lock").is_locked().unwrap());
    assert!(other.place().join(".lock").try_lock().unwrap().is_some());
    // One of another host cannot be looked for.
    let far = dead.to_string().replace(&mine.boot, "another boot");
    shop.server.put(".lock", far.as_bytes());
    assert!(other.place().join(".lock").try_lock().unwrap().is_none());
}

#[test]
fn old_releases_go_and_their_objects_with_them() {
    let shop = Shop::new();
    let releases: Vec<Manifest> =
        (0..4).map(|n| shop.publish(&n.to_string(), i64::from(n) * 86_400)).collect();
    let retention = Retention { keep: 1, older_than: TimeDelta::zero(), hold: [].into() };
    let fates = shop.store.prunable(&retention, shop.trust(), now()).unwrap();
    assert!(fates.iter().all(|fate| fate.bytes > 70_000), "{fates:?}");
    assert!(!shop.server.keys(&format!("demo/{}/", releases[0].version)).is_empty());
    let gone = shop.store.prune(&retention, &shop.signers, now()).unwrap();
    assert_eq!(gone.iter().filter(|fate| fate.kept.is_none()).count(), 2);
    for (at, release) in releases.iter().enumerate() {
        let keys = shop.server.keys(&format!("demo/{}/", release.version));
        assert_eq!(keys.is_empty(), at < 2, "{at}: {keys:?}");
    }
    assert_eq!(shop.store.list(shop.trust()).unwrap().len(), 2);
    assert_eq!(shop.defects(&releases[3]), vec![]);
}

/// A store that outlived its key is signed again, object by object.
#[test]
fn releases_are_signed_again() {
    let shop = Shop::new();
    let release = shop.publish("1", 0);
    // From now on two must sign, and this host has two new keys.
    let (key, further) = (signer(), vec![signer()]);
    let trust = Trust::of([key.public(), further[0].public(), shop.signers.key.public()].map(Clone::clone));
    let signers = Signers { key, further, openpgp: None, trust: trust.with_threshold(2) };
    assert!(shop.store.index(signers.keys()).is_err());
    // What was seen while its key counted may be signed again by who remembers it.
    let state = shop.dir.path().join("state");
    let store = shop.other().with_memory(&state);
    bootwright::release::store::IndexMemory::new(&state, "s3://images/store")
        .keep(&store.index(shop.trust()).unwrap())
        .unwrap();
    let done = store.resign(&image(), std::slice::from_ref(&release.version), &signers, now()).unwrap();
    assert_eq!(done, vec![release.version.clone()]);
    assert_eq!(store.verify(&image(), &release.version, signers.keys()).unwrap(), vec![]);
    assert_eq!(store.index(signers.keys()).unwrap().serial, 2);
}
