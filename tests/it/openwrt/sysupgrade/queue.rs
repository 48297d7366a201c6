//! What waits: in order, once, bounded, and also after the server ended.

use super::{Server, request, world};
use crate::openwrt::building::kept;
use bootwright::effects::Point;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

fn hash(told: &Value) -> String {
    told["request_hash"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// Asks until a request is at work.
fn until_started(server: &Server, hash: &str) {
    let began = Instant::now();
    while server.get(&format!("/api/v1/build/{hash}")).json()["detail"] != "started" {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn equal_requests_are_one_and_a_full_queue_is_refused() {
    let world = world("{workers: 1, queue: 2}");
    let server = Server::start(&world);
    let slow = |package: &str| request(&["slow", package]);
    // Two routers at the same moment, in other words.
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| server.post(&slow("luci")));
        let other = scope.spawn(|| {
            server.post(&json!({"client": "x/1", "diff_packages": false, "version": "24.10.5",
            "target": "ramips/mt7621", "profile": "netgear,r6220", "packages": ["luci", "slow", "slow"]}))
        });
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!((one.status, other.status), (202, 202));
    let first = hash(&one.json());
    assert_eq!(first, hash(&other.json()));
    until_started(&server, &first);
    let waiting: Vec<Value> =
        ["tmux", "odhcpd"].iter().map(|package| server.post(&slow(package)).json()).collect();
    assert_eq!(
        waiting.iter().map(|told| (&told["detail"], &told["queue_position"])).collect::<Vec<_>>(),
        [(&json!("queued"), &json!(0)), (&json!("queued"), &json!(1))]
    );
    let head = server.ask("HEAD", &format!("/api/v1/build/{}", hash(&waiting[1])), &[], b"");
    assert_eq!((head.header("x-imagebuilder-status"), head.header("x-queue-position")), ("queued", "1"));
    assert_eq!(server.get("/api/v1/stats").json(), json!({"queue_length": 2}));
    let full = server.post(&slow("ppp"));
    assert_eq!((full.status, &full.json()["title"]), (529, &json!("Server overloaded")));
    assert_eq!(full.detail(), "server overload, queue contains too many build requests: 2");
    // Who asks for what waits already is no further one.
    assert_eq!(server.post(&slow("tmux")).status, 202);
    for hash in [first, hash(&waiting[0]), hash(&waiting[1])] {
        assert_eq!(server.wait(&hash).status, 200);
    }
    assert_eq!(kept(&world), 3);
    assert_eq!(server.get("/api/v1/stats").json(), json!({"queue_length": 0}));
}

#[test]
fn a_server_that_is_killed_or_stopped_goes_on_with_what_waited() {
    let world = world("{workers: 1}");
    let mut server = Server::start(&world);
    let done = server.build(&request(&["luci"])).json();
    let started = hash(&server.post(&request(&["slow"])).json());
    let waits = hash(&server.post(&request(&["slow", "tmux"])).json());
    until_started(&server, &started);
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let server = Server::start(&world);
    // What ended is known, and its files are there.
    let known = server.get(&format!("/api/v1/build/{}", hash(&done)));
    assert_eq!((known.status, &known.json()["images"]), (200, &done["images"]));
    let store = format!("/store/{}/{}", hash(&done), done["images"][0]["name"].as_str().unwrap());
    assert_eq!(server.get(&store).status, 200);
    assert_eq!(server.wait(&started).status, 200);
    // Ctrl-C in the middle of the other one.
    until_started(&server, &waits);
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert_eq!(kept(&world), 2);

    let server = Server::start(&world);
    assert_eq!(server.wait(&waits).status, 200);
    assert_eq!(kept(&world), 3);
    // Two servers would build the same twice.
    let second = world.run(&["openwrt", "serve", "--listen", "127.0.0.1:0"]).error();
    assert!(second["message"].as_str().unwrap().contains("another server"), "{second}");
}

#[test]
fn firmware_that_is_gone_is_built_again() {
    let world = world("{}");
    let server = Server::start(&world);
    let body = request(&["luci"]);
    let first = server.build(&body).json();
    fs::remove_dir_all(world.cache().join("openwrt-firmware")).unwrap();
    let path = format!("/api/v1/build/{}", hash(&first));
    assert_eq!(server.get(&path).status, 404);
    let store = format!("/store/{}/{}", hash(&first), first["images"][0]["name"].as_str().unwrap());
    assert_eq!(server.get(&store).status, 404);
    let again = server.build(&body).json();
    assert_eq!((&again["status"], &again["request_hash"]), (&json!(200), &first["request_hash"]));
    assert_eq!(server.get(&store).status, 200);
}

#[test]
fn a_build_that_is_killed_at_any_point_ends_well_in_the_next_server() {
    let world = world("{workers: 1}");
    for (at, point) in
        [Point::BuilderUnpacked, Point::FirmwareMade, Point::FirmwareSealed, Point::FirmwareKept]
            .into_iter()
            .enumerate()
    {
        let body = request(&[["luci", "tmux", "odhcpd", "ppp"][at]]);
        let mut server = Server::start_with(&world, point);
        let asked = hash(&server.post(&body).json());
        assert!(!server.child.wait().unwrap().success(), "{point:?}");
        let server = Server::start(&world);
        let done = server.wait(&asked);
        assert_eq!(done.status, 200, "{point:?}: {}", done.json());
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert_eq!(kept(&world), 4);
}
