//! Servers that stall, cut off, or answer with something else.

use super::fixture::World;
use super::web::{Fault, Web};
use bootwright::build::cache::Cache;
use bootwright::build::openwrt::{Builder, Builders, Keys, Limits, Server};
use bootwright::effects::fetch::{self, Patience};
use bootwright::effects::{Cancel, Clock};
use bootwright::model::openwrt::BuilderId;
use bootwright::model::{Emitter, ErrorCode, Failure, FailureClass, Result};
use std::fs;
use std::time::{Duration, Instant};

const SUMS: &str = "sha256sums";
const ARCHIVE: &str = ".tar.zst";

/// `ensure` with little patience.
fn ensure(world: &World, urls: &[&str], cancel: &Cancel) -> Result<Builder> {
    let patience = Patience {
        idle: Duration::from_millis(500),
        window: Duration::from_secs(1),
        least: 1 << 10,
        rounds: 2,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, events) = (fetch::client().unwrap(), Emitter::default());
    let keys = Keys::read(&[world.catalog().join("keys/openwrt.pub")]).unwrap();
    let cache = Cache::open(&world.cache()).unwrap();
    let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
    let (client, runtime, events) = (&client, runtime.handle(), &events);
    let server =
        Server { urls: &urls, keys: &keys, client, runtime, events, cancel, patience, offline: false };
    let id = BuilderId::new("24.10.5".parse().unwrap(), "x86/64".parse().unwrap()).unwrap();
    let listed = server.find(&id, &cache.work())?;
    let limits = Limits::default();
    let builders = Builders { cache: &cache, client, runtime, events, cancel, patience, limits };
    builders.ensure(&listed, Clock::System.now())
}

fn refused(world: &World, web: &Web) -> Failure {
    let began = Instant::now();
    let failure = ensure(world, &[&web.url], &Cancel::default()).unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(
        !world.cache().join("openwrt-builders").exists()
            || fs::read_dir(world.cache().join("openwrt-builders")).unwrap().all(|e| e
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".lock"))
    );
    failure
}

#[test]
fn every_way_to_fail_is_told_and_another_server_helps() {
    let world = World::new();
    let (bad, good) = (Web::start(&world.server()), Web::start(&world.server()));
    let faults = [
        (SUMS, Fault::Status(404)),
        (SUMS, Fault::Status(500)),
        (SUMS, Fault::Html),
        (SUMS, Fault::Stall(10)),
        (SUMS, Fault::Cut(10)),
        (SUMS, Fault::Drip),
        ("sha256sums.sig", Fault::Html),
        ("sha256sums.sig", Fault::Status(500)),
        (ARCHIVE, Fault::Status(404)),
        (ARCHIVE, Fault::Status(500)),
        (ARCHIVE, Fault::Html),
        (ARCHIVE, Fault::Stall(1000)),
        (ARCHIVE, Fault::Cut(1000)),
    ];
    for (end, fault) in faults {
        bad.fault(end, fault);
        let failure = refused(&world, &bad);
        println!("{end} {fault:?}: {failure} {:?}", failure.details);
        let gone = matches!((end, fault), (SUMS, Fault::Status(404)));
        let class = if gone { FailureClass::Spec } else { FailureClass::Upstream };
        assert_eq!(failure.class, class, "{end} {fault:?}: {failure}");
        let builder = ensure(&world, &[&bad.url, &good.url], &Cancel::default()).unwrap();
        assert!(builder.made && builder.root.join("Makefile").is_file(), "{end} {fault:?}");
        drop(builder);
        bad.mend();
        fs::remove_dir_all(world.cache()).unwrap();
    }
}

#[test]
fn an_unknown_target_is_told_with_near_names() {
    let world = World::new();
    let error = world.ensure("24.10.5", "x86/65").error();
    assert_eq!((error["class"].as_str(), error["code"].as_str()), (Some("spec"), Some("E1001")), "{error}");
    assert!(error["suggestion"].as_str().unwrap().contains("x86/64"), "{error}");
    let error = world.ensure("9.9.9", "x86/64").error();
    assert_eq!(error["class"], "spec", "{error}");
}

#[test]
fn what_arrived_is_gone_on_with() {
    let world = World::new();
    let web = Web::start(&world.server());
    web.fault(ARCHIVE, Fault::Cut(200_000));
    assert_eq!(refused(&world, &web).code, ErrorCode::Network);
    let parts = world.leftovers();
    assert!(parts.len() == 1 && parts[0].ends_with(".part"), "{parts:?}");
    web.mend();
    web.requests();
    assert!(ensure(&world, &[&web.url], &Cancel::default()).unwrap().made);
    let requests = web.requests();
    let ranges = requests.iter().filter(|r| r.contains(ARCHIVE) && r.ends_with('-')).count();
    assert_eq!(ranges, 1, "{requests:?}");
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[test]
fn a_wish_to_stop_is_heard_while_a_server_is_silent() {
    let world = World::new();
    let web = Web::start(&world.server());
    web.fault(ARCHIVE, Fault::Stall(1000));
    let cancel = Cancel::default();
    let asked = cancel.clone();
    let (stop, url) = (Duration::from_millis(200), web.url.clone());
    std::thread::spawn(move || {
        std::thread::sleep(stop);
        asked.request();
    });
    let began = Instant::now();
    let failure = ensure(&world, &[&url], &cancel).unwrap_err();
    assert_eq!(failure.class, FailureClass::Cancelled, "{failure}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
