//! What no router should be given, and who asks to do harm.

use super::{REVISION, Server, answered, request, world};
use crate::openwrt::web::Web;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

fn with(fields: Value) -> Value {
    let mut body = request(&[]);
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let world =
        world("{branches: [\"24.10\", SNAPSHOT], repositories: [\"https://good.example.org/feeds/\"]}");
    let server = Server::start(&world);
    let key = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----";
    for (fields, begins) in [
        (json!({"defaults": "echo"}), "Handling `defaults` not enabled on server"),
        (
            json!({"repositories": {"evil": "https://evil.example.org/p"}}),
            "Repository not allowed: https://evil",
        ),
        (
            json!({"repositories": {"evil": "https://good.example.org/feeds/$(id)"}, "repository_keys": [key]}),
            "Repository not allowed: https://good",
        ),
        (
            json!({"repositories": {"evil": "https://good.example.org.evil/feeds/x"}}),
            "Repository not allowed: https://good",
        ),
        (json!({"repositories": {"ours": "https://good.example.org/feeds/x"}}), "Repository keys: "),
        (
            json!({"repositories": {"ours": "https://good.example.org/feeds/x"}, "repository_keys": ["x"]}),
            "Repository keys: ",
        ),
        (
            json!({"repositories": {"a.b": "https://good.example.org/feeds/x", "a-b": "https://good.example.org/feeds/y"},
                "repository_keys": [key]}),
            "Repository names: ",
        ),
        (json!({"distro": "Foobar"}), "Unsupported distro: Foobar"),
        (json!({"version": "10.10.10"}), "Unsupported branch: 10.10.10"),
        (json!({"version": "23.05.5"}), "Unsupported branch: 23.05.5"),
        (json!({"version": "nonsense"}), "Unsupported branch: nonsense"),
        (json!({"version": ""}), "Unsupported branch: "),
        (json!({"version": ".."}), "Unsupported branch: .."),
        (json!({"version": "24.10.99"}), "Unsupported version: 24.10.99"),
        (json!({"version": "24.10"}), "Unsupported version: 24.10"),
        (json!({"target": "testtarget/bad"}), "Unsupported target: testtarget/bad."),
        (json!({"target": "/"}), "Unsupported target: /."),
        (json!({"profile": "Foobar"}), "Unsupported profile: Foobar."),
        (json!({"profile": ""}), "Unsupported profile: ."),
        (json!({"profile": "-rf"}), "Unsupported profile: -rf."),
        (json!({"packages": ["--no"]}), "Unsupported package: --no"),
        (json!({"packages": ["a,b"]}), "Unsupported package: a,b"),
        (json!({"packages": ["ü"]}), "Unsupported package: ü"),
        (json!({"packages_versions": {".": "1"}}), "Unsupported package: ."),
    ] {
        let refused = server.post(&with(fields.clone()));
        assert_eq!((refused.status, &refused.json()["status"]), (400, &json!(400)), "{fields}");
        assert!(refused.detail().starts_with(begins), "{fields}: {}", refused.detail());
    }
    // A script that is empty is none, and x86 has one device for all machines.
    assert_eq!(server.build(&with(json!({"defaults": ""}))).status, 200);
    let any = server.build(&with(json!({"target": "x86/64", "profile": "any_machine"})));
    assert_eq!((any.status, &any.json()["id"]), (200, &json!("generic")));
}

#[test]
fn what_does_not_parse_is_said_in_fastapis_form() {
    let world = world("{maxRootfsSizeMb: 512}");
    let server = Server::start(&world);
    for (body, kind, loc) in [
        (with(json!({"packages": "luci"})), "list_type", json!(["body", "packages"])),
        (with(json!({"packages": ["$(id)"]})), "string_pattern_mismatch", json!(["body", "packages", 0])),
        (with(json!({"packages": ["a\nb"]})), "string_pattern_mismatch", json!(["body", "packages", 0])),
        (with(json!({"packages": ["a;b"]})), "string_pattern_mismatch", json!(["body", "packages", 0])),
        (with(json!({"profile": "`id`"})), "string_pattern_mismatch", json!(["body", "profile"])),
        (with(json!({"version": "$(shell id)"})), "string_pattern_mismatch", json!(["body", "version"])),
        (with(json!({"target": "../../etc"})), "string_pattern_mismatch", json!(["body", "target"])),
        (with(json!({"rootfs_size_mb": 0})), "greater_than_equal", json!(["body", "rootfs_size_mb"])),
        (with(json!({"rootfs_size_mb": 513})), "less_than_equal", json!(["body", "rootfs_size_mb"])),
        (with(json!({"filesystem": "ntfs"})), "literal_error", json!(["body", "filesystem"])),
        (with(json!({"defaults": "#".repeat(20_481)})), "string_too_long", json!(["body", "defaults"])),
        (json!({"target": "a/b", "profile": "c"}), "missing", json!(["body", "version"])),
        (json!([]), "model_attributes_type", json!(["body"])),
    ] {
        let refused = server.post(&body);
        assert_eq!(refused.status, 422, "{body}");
        let fault = &refused.json()["detail"][0];
        assert_eq!((&fault["type"], &fault["loc"]), (&json!(kind), &loc), "{body}");
        assert!(fault["msg"].is_string() && fault.get("input").is_some(), "{fault}");
    }
    let refused = server.ask("POST", "/api/v1/build", &[], b"");
    assert_eq!(
        refused.json()["detail"],
        json!([{"input": null, "loc": ["body"], "msg": "Field required", "type": "missing"}])
    );
    let body = request(&[]).to_string();
    // A page of another server can send this without being asked whether it may.
    let refused = server.ask("POST", "/api/v1/build", &[("Content-Type", "text/plain")], body.as_bytes());
    assert_eq!(
        (refused.status, &refused.json()["detail"][0]["type"]),
        (422, &json!("model_attributes_type"))
    );
    for bad in ["{", "nonsense", "\u{0}", "{\"version\": NaN}"] {
        let json = [("Content-Type", "application/json")];
        let refused = server.ask("POST", "/api/v1/build", &json, bad.as_bytes());
        assert_eq!(
            (refused.status, &refused.json()["detail"][0]["type"]),
            (422, &json!("json_invalid")),
            "{bad:?}"
        );
    }
}

#[test]
fn builds_that_cannot_be_say_why() {
    let world = world("{}");
    let server = Server::start(&world);
    for (fields, detail) in [
        (
            json!({"version_code": "r1-bad"}),
            format!("Error: Received incorrect version {REVISION} (requested r1-bad)"),
        ),
        (json!({"packages": ["nosuch"]}), "Error: Impossible package selection: missing (nosuch)".to_owned()),
        (
            json!({"packages": ["clash", "busybox"]}),
            "Error: Impossible package selection: conflicts (busybox, clash)".to_owned(),
        ),
        (
            json!({"packages_versions": {"tmux": "9.9"}}),
            "Error: Impossible package selection: tmux version not as requested: 9.9 vs. 3.4-r1".to_owned(),
        ),
        (
            // By its name with the binary interface no package is asked for.
            json!({"packages_versions": {"libncurses6": "6.4-r2"}}),
            "Error: Impossible package selection: libncurses6 not in manifest".to_owned(),
        ),
        (json!({"packages": ["big"]}), "Error: Selected packages exceed device storage".to_owned()),
    ] {
        let failed = server.build(&with(fields.clone()));
        assert_eq!((failed.status, failed.detail()), (500, detail), "{fields}");
        let json = failed.json();
        assert!(json["stdout"].is_string() && json["stderr"].is_string(), "{json}");
        assert_eq!((&json["imagebuilder_status"], &json["status"]), (&json!("failed"), &json!(500)));
        // No path of this host.
        assert!(!json.to_string().contains(world.path().to_str().unwrap()), "{json}");
        let head = server.ask(
            "HEAD",
            &format!("/api/v1/build/{}", json["request_hash"].as_str().unwrap()),
            &[],
            b"",
        );
        assert_eq!((head.status, head.header("x-imagebuilder-status")), (500, "failed"));
    }
    // What is the upstream's fault is not blamed on who asked.
    let damaged = server.build(&with(json!({"packages": ["damaged"]})));
    assert_eq!(damaged.status, 500);
    assert!(!damaged.detail().contains("Impossible"), "{}", damaged.detail());
}

#[test]
fn paths_lead_nowhere_but_where_they_should() {
    let world = world("{}");
    fs::write(world.cache().parent().unwrap().join("secret"), "secret").unwrap();
    let server = Server::start(&world);
    let done = server.build(&request(&[])).json();
    let store = format!("/store/{}", done["bin_dir"].as_str().unwrap());
    let image = done["images"][0]["name"].as_str().unwrap();
    assert_eq!(server.get(&format!("{store}/{image}")).status, 200);
    assert_eq!(server.ask("HEAD", &format!("{store}/{image}"), &[], b"").status, 200);
    for path in [
        format!("{store}/../../bootwright.yaml"),
        format!("{store}/..%2f..%2f..%2fbootwright.yaml"),
        format!("{store}/%2e%2e"),
        format!("{store}/firmware.json"),
        format!("{store}/build.log"),
        format!("{store}/nothing.bin"),
        format!("{store}/"),
        store.clone(),
        format!("/store/{}/{image}", "0".repeat(64)),
        format!("/store/{}/{image}", &done["bin_dir"].as_str().unwrap()[..12]),
        format!("/store/../{image}"),
        "/store/%00/x".to_owned(),
        "/".to_owned(),
        "/api/v1".to_owned(),
        "/json/v1/../../secret".to_owned(),
        "/json/v1/releases/24.10.5/targets/../../x/y.json".to_owned(),
        "/json/v1/releases/24.10.5/packages/..%2f..-index.json".to_owned(),
        format!("/api/v1/build/{}", "0".repeat(64)),
        "/api/v1/build/testtesttest".to_owned(),
        "/api/v1/build/..%2f".to_owned(),
    ] {
        assert_eq!(server.get(&path).status, 404, "{path}");
    }
    let unknown = server.get("/api/v1/build/testtesttest").json();
    assert_eq!((&unknown["title"], &unknown["status"]), (&json!("Not Found"), &json!(404)));
    for (method, path) in [
        ("POST", "/api/v1/build/0222f0cd9290"),
        ("GET", "/api/v1/build"),
        ("DELETE", "/api/v1/build"),
        ("PUT", "/store/a/b"),
        ("POST", "/json/v1/overview.json"),
    ] {
        let refused = server.ask(method, path, &[], b"");
        assert_eq!(
            (refused.status, refused.detail()),
            (405, "Method Not Allowed".to_owned()),
            "{method} {path}"
        );
    }
}

#[test]
fn who_says_too_much_too_slowly_or_too_often_is_cut_off() {
    let world = world("{requestsPerMinute: 30, trustedProxies: [127.0.0.1]}");
    let server = Server::start(&world);
    let json = ("Content-Type", "application/json");
    let huge =
        server.ask("POST", "/api/v1/build", &[json, ("X-Forwarded-For", "192.0.2.1")], &vec![b' '; 1 << 20]);
    assert_eq!(huge.status, 413);
    // A head that never ends, and a body that never comes.
    let began = Instant::now();
    let mut stream = server.connect();
    stream.write_all(b"POST /api/v1/build HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let mut endless = server.connect();
    endless.write_all(b"GET /").unwrap();
    assert_eq!(answered(stream).status, 408);
    assert_ne!(answered(endless).status, 200);
    assert!(began.elapsed() < Duration::from_secs(40));
    // One address is stopped, the others are not; nobody hides behind what he says of himself.
    let ask = |says: &str| server.ask("GET", "/api/v1/stats", &[("X-Forwarded-For", says)], b"");
    let mut refused = None;
    for n in 0..40 {
        let answer = ask(&format!("198.51.100.{n}, 192.0.2.7"));
        if answer.status == 429 {
            refused = Some((n, answer));
            break;
        }
        assert_eq!((answer.status, answer.json()), (200, json!({"queue_length": 0})));
    }
    let (at, refused) = refused.unwrap();
    assert!((30..35).contains(&at), "{at}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(ask("192.0.2.8").status, 200);
    // All of one network of IPv6 are one.
    for n in 0..40 {
        ask(&format!("2001:db8:1:1::{n:x}"));
    }
    assert_eq!(ask("2001:db8:1:1:ffff::1").status, 429);
    assert_eq!(ask("2001:db8:1:2::1").status, 200);
}

#[test]
fn a_proxy_that_nobody_named_is_not_believed() {
    let world = world("{requestsPerMinute: 5}");
    let server = Server::start(&world);
    let ask =
        |n: u32| server.ask("GET", "/api/v1/stats", &[("X-Forwarded-For", &format!("192.0.2.{n}"))], b"");
    let answers: Vec<u16> = (0..8).map(|n| ask(n).status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 429).count(), 3, "{answers:?}");
}

#[test]
fn a_server_of_openwrt_that_fails_is_said_to_fail() {
    let world = world("{}");
    let web = Web::start(&world.server());
    world.settings(&[&web.url], "keys: [keys/openwrt.pub]");
    web.fault(".versions.json", crate::openwrt::web::Fault::Status(500));
    let server = Server::start(&world);
    for path in ["/json/v1/overview.json", "/json/v1/latest.json", "/api/v1/revision/24.10.5/x86/64"] {
        let failed = server.get(path);
        assert_eq!((failed.status, &failed.json()["status"]), (503, &json!(503)), "{path}");
        assert!(!failed.detail().contains(&web.url), "{}", failed.detail());
    }
    assert_eq!(server.post(&request(&[])).status, 503);
    web.mend();
    assert_eq!(server.get("/json/v1/latest.json").status, 200);
    // What was said stays said.
    web.fault(".versions.json", crate::openwrt::web::Fault::Html);
    assert_eq!(server.get("/json/v1/latest.json").json()["latest"][0], "24.10.5");
    // A list of devices that nobody signed is believed of nobody.
    let profiles = world.folder("24.10.5", "x86/64").join("profiles.json");
    fs::write(&profiles, fs::read_to_string(&profiles).unwrap().replace("generic", "changed")).unwrap();
    let refused = server.post(&with(json!({"target": "x86/64", "profile": "changed"})));
    assert_eq!(refused.status, 503, "{refused:?}");
}
