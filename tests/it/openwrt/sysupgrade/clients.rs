//! What clients send, by their programs' texts, and what they read of the answers.

use super::{Answer, REVISION, Server, request, sha256, world};
use crate::openwrt::building::{kept, with_feed, write};
use crate::openwrt::fixture::{Usign, World};
use bootwright::effects::{Cancel, Process};
use bootwright::release::keys;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The image that a client takes, and its bytes as the store has them.
fn download(server: &Server, done: &Value, kind: &str) -> (Value, Vec<u8>) {
    let image = done["images"].as_array().unwrap().iter().find(|image| image["type"] == kind);
    let image = image.unwrap_or_else(|| panic!("{done}")).clone();
    let path = format!("/store/{}/{}", done["bin_dir"].as_str().unwrap(), image["name"].as_str().unwrap());
    let file = server.get(&path);
    assert_eq!((file.status, sha256(&file.body)), (200, image["sha256"].as_str().unwrap().to_owned()));
    assert_eq!(file.header("content-length"), file.body.len().to_string());
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    (image, file.body)
}

/// owut: overview, indexes, a request with versions, HEAD until it is no 202, GET, download.
#[test]
fn owut_upgrades_a_router() {
    let world = world("{branches: [\"24.10\"]}");
    let folder = world.server().join("releases/24.10.5");
    write_index(&folder.join("packages/x86_64/base"), &[("luci-base", "25.1"), ("tmux", "3.4-r1")]);
    fs::write(folder.join("packages/x86_64/feeds.conf"), "src-git base https://x/base.git^abc\n").unwrap();
    write_index(
        &folder.join("targets/x86/64/packages"),
        &[("kmod-usb3", "6.6.93-r1"), ("libncurses", "6.4-r2")],
    );
    let server = Server::start(&world);
    let agent = [("User-Agent", "owut/2026.04.09-r1")];
    let get = |path: &str| server.ask("GET", path, &agent, b"");

    let overview = get("/json/v1/overview.json").json();
    assert_eq!(overview["server"]["max_custom_rootfs_size_mb"], 1024);
    assert_eq!(overview["server"]["max_defaults_length"], 20_480);
    let branch = &overview["branches"]["24.10"];
    assert_eq!((&branch["enabled"], &branch["targets"]["x86/64"]), (&json!(true), &json!("x86_64")));
    assert!(branch["versions"].as_array().unwrap().contains(&json!("24.10.5")), "{branch}");
    assert!(branch["package_changes"].is_array(), "{branch}");
    let dir = branch["path"].as_str().unwrap().replace("{version}", "24.10.5");
    let packages = get(&format!("/json/v1/{dir}/packages/x86_64-index.json")).json();
    assert_eq!(packages, json!({"luci-base": "25.1", "tmux": "3.4-r1"}));
    let target = get(&format!("/json/v1/{dir}/targets/x86/64/index.json")).json();
    assert_eq!(target["packages"]["libncurses"], "6.4-r2");

    let blob = json!({"client": "owut/2026.04.09-r1", "target": "x86/64", "profile": "generic",
        "version": "24.10.5", "version_code": REVISION, "filesystem": "squashfs", "diff_packages": true,
        "packages_versions": {"base-files": "1637~d9340319c6", "busybox": "1.36.1-r2",
            "kernel": "6.6.93~c3ed2dd4ca7bd8a9-r1", "kmod-usb3": "6.6.93-r1", "tmux": "3.4-r1"}, "rootfs_size_mb": 256});
    let headers = [agent[0], ("Content-Type", "application/json")];
    let asked = server.ask("POST", "/api/v1/build", &headers, blob.to_string().as_bytes());
    assert_eq!(asked.status, 202, "{asked:?}");
    let hash = asked.json()["request_hash"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 64);
    let mut steps: Vec<String> = Vec::new();
    loop {
        let head = server.ask("HEAD", &format!("/api/v1/build/{hash}"), &agent, b"");
        assert!(head.body.is_empty());
        head.header("x-queue-position").parse::<u32>().unwrap();
        let step = head.header("x-imagebuilder-status").to_owned();
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        if head.status != 202 {
            assert_eq!((head.status, head.header("x-imagebuilder-status")), (200, "done"), "{steps:?}");
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let known = [
        "queued",
        "init",
        "container_setup",
        "validate_revision",
        "validate_manifest",
        "building_image",
        "done",
    ];
    assert!(steps.iter().all(|step| known.contains(&step.as_str())) && steps.len() > 2, "{steps:?}");
    let done = get(&format!("/api/v1/build/{hash}")).json();
    assert_eq!((&done["status"], &done["detail"]), (&json!(200), &json!("done")));
    assert_eq!(
        (&done["request"]["version_code"], &done["version_code"]),
        (&json!(REVISION), &json!(REVISION))
    );
    assert_eq!(
        (&done["request"]["rootfs_size_mb"], &done["request"]["defaults"]),
        (&json!(256), &json!(null))
    );
    assert_eq!((&done["version_number"], &done["id"]), (&json!("24.10.5"), &json!("generic")));
    // Every package by the name without its binary interface, in the version that was asked for.
    for (name, version) in blob["packages_versions"].as_object().unwrap() {
        assert_eq!(done["manifest"][name], *version, "{name}");
    }
    assert_eq!(done["manifest"]["libncurses"], target["packages"]["libncurses"]);
    assert!(done["manifest"].get("dropbear").is_none(), "{}", done["manifest"]);
    assert!(
        done["build_cmd"].as_array().unwrap().contains(&json!("ROOTFS_PARTSIZE=256")),
        "{}",
        done["build_cmd"]
    );
    let (image, _) = download(&server, &done, "combined");
    assert_eq!(image["filesystem"], "squashfs");
}

fn write_index(folder: &std::path::Path, packages: &[(&str, &str)]) {
    fs::create_dir_all(folder).unwrap();
    let packages: serde_json::Map<String, Value> =
        packages.iter().map(|(name, version)| ((*name).to_owned(), json!(version))).collect();
    let index = json!({"version": 2, "architecture": "x86_64", "packages": packages});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

/// LuCI: `/api/overview`, the board's name as it is, all packages, GET every 5 s, `sha256_unsigned`.
#[test]
fn luci_upgrades_a_router() {
    let world = world("{}");
    fs::write(world.server().join("snapshots/.targets.json"), r#"{"x86/64": "x86_64"}"#).unwrap();
    let server = Server::start(&world);
    let moved = server.get("/api/overview");
    assert_eq!((moved.status, moved.header("location")), (301, "/json/v1/overview.json"));
    let overview = server.get(moved.header("location")).json();
    assert_eq!(overview["latest"], json!(["24.10.5", "23.05.5"]));
    let revision = server.get("/api/v1/revision/SNAPSHOT/x86/64").json();
    assert_eq!(revision, json!({"revision": REVISION}));

    let content = json!({"client": "luci/git-24.339", "packages": ["base-files", "busybox", "dropbear", "kernel",
        "kmod-usb3", "luci"], "profile": "netgear,r6220", "target": "ramips/mt7621", "version": "24.10.5",
        "diff_packages": true, "filesystem": "squashfs"});
    let asked = server.post(&content);
    assert_eq!(asked.status, 202, "{asked:?}");
    let told = asked.json();
    assert!(told.get("queue_position").is_some() || told["imagebuilder_status"].is_string(), "{told}");
    let done = server.wait(told["request_hash"].as_str().unwrap());
    assert_eq!(done.status, 200, "{}", done.json());
    let done = done.json();
    assert_eq!((&done["id"], &done["target"]), (&json!("netgear_r6220"), &json!("ramips/mt7621")));
    assert!(done["build_at"].as_str().unwrap().starts_with("2025-06-15T15:06:40"), "{done}");
    let (image, bytes) = download(&server, &done, "sysupgrade");
    // The signature of the Image Builder's own key is at the end.
    assert_eq!(sha256(&bytes[..bytes.len() - 65]), image["sha256_unsigned"].as_str().unwrap());
    // LuCI on another router asks the same.
    let again = server.post(&content);
    assert_eq!((again.status, &again.json()["bin_dir"]), (200, &done["bin_dir"]));
    // An address with a slash at its end.
    let doubled = server.get("//api/overview");
    assert_eq!((doubled.status, doubled.header("location")), (301, "/api/overview"));
}

/// The firmware selector: a page of another server, with a script for the first start.
#[test]
fn the_firmware_selector_makes_an_image() {
    let world = world("{allowDefaults: true}");
    let server = Server::start(&world);
    let origin = ("Origin", "https://firmware-selector.example.org");
    let asks = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let may = server.ask("OPTIONS", "/api/v1/build", &asks, b"");
    assert_eq!((may.status, may.header("access-control-allow-origin")), (200, "*"));
    assert_eq!(
        (may.header("access-control-allow-methods"), may.header("access-control-allow-headers")),
        ("*", "*")
    );

    let script = "uci set system.@system[0].hostname='here'\n";
    let body = json!({"profile": "netgear_r6220", "target": "ramips/mt7621",
        "packages": ["base-files", "busybox", "dropbear", "tmux"], "defaults": script,
        "version_code": REVISION, "version": "24.10.5", "diff_packages": true, "client": "ofs/5.0.4"});
    let headers = [origin, ("Content-Type", "application/json"), ("Cache-Control", "no-cache")];
    let asked = server.ask("POST", "/api/v1/build", &headers, body.to_string().as_bytes());
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (202, "*"));
    let told = asked.json();
    assert!(["queued", "started"].contains(&told["detail"].as_str().unwrap()), "{told}");
    let done = server.wait(told["request_hash"].as_str().unwrap()).json();
    assert_eq!(done["status"], 200, "{done}");
    assert!(done["stdout"].as_str().unwrap().contains("Building images"), "{done}");
    let (_, image) = download(&server, &done, "sysupgrade");
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("image"), image).unwrap();
    let unpack = Process::new("unsquashfs").args(["-no-progress", "-d"]).arg(work.path().join("root"));
    unpack.arg(work.path().join("image")).check(&Cancel::default()).unwrap();
    let there = fs::read_to_string(work.path().join("root/etc/uci-defaults/99-asu-defaults")).unwrap();
    assert_eq!(there, script);
    // What it shows where a build fails.
    let failed = server.build(&json!({"profile": "netgear_r6220", "target": "ramips/mt7621",
        "packages": ["base-files", "big"], "version": "24.10.5", "client": "ofs/5.0.4"}));
    assert_eq!(
        (failed.status, failed.detail()),
        (500, "Error: Selected packages exceed device storage".to_owned())
    );
    assert!(failed.json()["stderr"].as_str().unwrap().contains("is too big"), "{}", failed.json());
    assert_eq!(failed.header("x-imagebuilder-status"), "failed");
}

fn image_of(done: &Value) -> String {
    format!("sha256:{}", done["images"][0]["sha256"].as_str().unwrap())
}

fn built_image(report: &Value) -> String {
    report["firmware"][0]["record"]["images"][0]["sha256"].as_str().unwrap().to_owned()
}

/// A request that asks for what a profile of the catalog asks for.
#[test]
fn a_router_gets_the_firmware_that_the_catalog_built() {
    let world = world("{}");
    let profile = "apiVersion: bootwright/v1\nkind: DeviceProfile\nmetadata: {name: office}\nspec:\n  release: 24.10.5\n  target: ramips\n  subtarget: mt7621\n  profile: netgear_r6220\n  packages: {add: [tmux, luci], remove: [dropbear]}\n";
    write(&world, "specs/office.yaml", profile);
    let built = world.run(&["openwrt", "build", "office"]).report();
    assert_eq!(built["firmware"][0]["outcome"], "built");
    let server = Server::start(&world);
    for (filesystem, packages) in
        [(Value::Null, ["luci", "-dropbear", "tmux"]), (json!("squashfs"), ["tmux", "luci", "-dropbear"])]
    {
        let mut body = request(&packages);
        body["filesystem"] = filesystem;
        let done = server.build(&body).json();
        assert_eq!(done["status"], 200, "{done}");
        assert_eq!(image_of(&done), built_image(&built));
        assert_eq!(kept(&world), 1);
    }
    // And the other way round.
    let done = server.build(&request(&["luci"])).json();
    assert_eq!(kept(&world), 2, "{done}");
    write(
        &world,
        "specs/office.yaml",
        &profile.replace("{add: [tmux, luci], remove: [dropbear]}", "{add: [luci]}"),
    );
    let found = world.run(&["openwrt", "build", "office"]).report();
    assert_eq!(found["firmware"][0]["outcome"], "reused", "{found}");
    assert_eq!(image_of(&done), built_image(&found));
}

#[test]
fn files_have_a_list_that_is_signed() {
    let world = world("{}");
    keys::write_key_pair(&world.catalog().join("release.key"), None).unwrap();
    let text = fs::read_to_string(world.catalog().join("bootwright.yaml")).unwrap();
    fs::write(world.catalog().join("bootwright.yaml"), format!("{text}signing: {{key: release.key}}\n"))
        .unwrap();
    let server = Server::start(&world);
    let done = server.build(&request(&["luci"])).json();
    let store = format!("/store/{}", done["bin_dir"].as_str().unwrap());
    let list = server.get(&format!("{store}/SHA256SUMS"));
    let text = String::from_utf8(list.body).unwrap();
    for image in done["images"].as_array().unwrap() {
        let line = format!("{}  {}", image["sha256"].as_str().unwrap(), image["name"].as_str().unwrap());
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    for line in text.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        assert_eq!(sha256(&server.get(&format!("{store}/{name}")).body), digest, "{name}");
    }
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("list"), &text).unwrap();
    let signature = server.get(&format!("{store}/SHA256SUMS.sig"));
    assert_eq!(signature.status, 200);
    let verify = |text: &str| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(&signature.body).unwrap();
        fs::write(work.path().join("sig"), bytes).unwrap();
        fs::write(work.path().join("list"), text).unwrap();
        let openssl = Process::new("openssl").args(["dgst", "-sha256", "-verify"]);
        let openssl = openssl.arg(world.catalog().join("release.pub")).arg("-signature");
        let openssl = openssl.arg(work.path().join("sig")).arg(work.path().join("list"));
        openssl.run(&Cancel::default()).unwrap().status.success()
    };
    assert!(verify(&text));
    assert!(!verify(&text.replace('a', "b")));
    assert_eq!(server.get(&format!("{store}/SHA256SUMS.asc")).status, 404);
    // The Image Builder's own names are there, too: its lists have them.
    let own = "openwrt-24.10.5-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin";
    assert_eq!(
        sha256(&server.get(&format!("{store}/{own}")).body),
        done["images"][0]["sha256"].as_str().unwrap()
    );
    let name = done["images"][0]["name"].as_str().unwrap();
    assert!(
        name.starts_with("openwrt-24.10.5-")
            && name.ends_with("-ramips-mt7621-netgear_r6220-squashfs-sysupgrade.bin"),
        "{name}"
    );
    assert_ne!(name, own);
}

#[test]
fn packages_are_followed_to_their_new_names() {
    let world = World::new();
    let changes = r#"{"24.10": [{"source": "screen", "target": "tmux", "revision": 26792}]}"#;
    world.settings(
        &[&world.folder_url()],
        &format!(
            "keys: [keys/openwrt.pub], packageChanges: {changes}, sysupgrade: {{requestsPerMinute: 60000}}"
        ),
    );
    let server = Server::start(&world);
    let overview = server.get("/json/v1/overview.json").json();
    assert_eq!(
        overview["branches"]["24.10"]["package_changes"],
        json!([{"source": "screen", "target": "tmux", "revision": 26_792}])
    );
    let ask = |fields: Value| -> Answer {
        let mut body = request(&[]);
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.build(&body)
    };
    let done = ask(json!({"packages": ["screen"]})).json();
    assert_eq!(
        (&done["manifest"]["tmux"], &done["manifest"]["screen"]),
        (&json!("3.4-r1"), &Value::Null),
        "{done}"
    );
    let done = ask(json!({"packages_versions": {"screen": "4.9"}}));
    assert_eq!(done.status, 200, "{}", done.json());
}

#[test]
fn repositories_that_are_allowed_are_taken_with_their_keys() {
    let (world, _feed, web, _) = with_feed();
    let url = web.url.trim_end_matches('/');
    let allowed = format!("sysupgrade: {{requestsPerMinute: 60000, repositories: [\"{url}\"]}}");
    world.settings(&[&world.folder_url()], &format!("keys: [keys/openwrt.pub], {allowed}"));
    fs::rename(world.path().join("feed"), world.path().join("below")).unwrap();
    fs::create_dir_all(world.path().join("feed")).unwrap();
    fs::rename(world.path().join("below"), world.path().join("feed/feed")).unwrap();
    let server = Server::start(&world);
    let ask = |key: String, mode: &str| {
        let mut body = request(&["extra"]);
        body["repositories"] = json!({"ours.example-1": format!("{url}/feed")});
        body["repository_keys"] = json!([key]);
        body["repositories_mode"] = json!(mode);
        server.build(&body)
    };
    let public = world.key.public();
    let bare = public.lines().nth(1).unwrap().to_owned();
    for (key, mode) in [(public.clone(), "append"), (bare, "replace")] {
        let done = ask(key, mode).json();
        assert_eq!((&done["status"], &done["manifest"]["extra"]), (&json!(200), &json!("1.0-r1")), "{done}");
    }
    // An index that somebody else signed is not taken, and that is no fault of the selection.
    let failed = ask(Usign::new(9).public(), "append");
    assert_eq!(failed.status, 500);
    assert!(!failed.detail().contains("Impossible"), "{}", failed.detail());
}
