//! Static documents: made of what a server of OpenWrt says, in the forms that clients read.

use super::{REVISION, Server, world};
use crate::openwrt::web::Web;
use serde_json::json;
use std::fs;

#[test]
fn documents_are_made_of_what_the_server_says() {
    let world = world("{contact: noc@example.org, upstreamUrl: \"https://openwrt.example.org/\"}");
    let web = Web::start(&world.server());
    let settings = "sysupgrade: {contact: noc@example.org, upstreamUrl: \"https://openwrt.example.org/\"}";
    world.settings(&[&web.url], &format!("keys: [keys/openwrt.pub], {settings}"));
    let target = world.folder("24.10.5", "x86/64");
    fs::create_dir_all(target.join("packages")).unwrap();
    // Of the old form: names have the version of their binary interface, and `Packages` says so.
    fs::write(
        target.join("packages/index.json"),
        r#"{"architecture": "x86_64", "packages": {"libubox20230523": "2023-05-23-1"}}"#,
    )
    .unwrap();
    fs::write(
        target.join("packages/Packages"),
        "Package: libubox20230523\nABIVersion: 20230523\nVersion: 2023-05-23-1\nArchitecture: x86_64\n",
    )
    .unwrap();
    let kmods = target.join("kmods/6.6.93-1-c3ed2dd4ca7bd8a9");
    fs::create_dir_all(&kmods).unwrap();
    fs::write(kmods.join("index.json"), r#"{"version": 2, "packages": {"kmod-usb3": "6.6.93-r1"}}"#).unwrap();
    let server = Server::start(&world);
    let get = |path: &str| server.get(&format!("/json/v1/{path}")).json();

    let overview = get("overview.json");
    assert_eq!(overview["upstream_url"], "https://openwrt.example.org");
    assert_eq!(overview["server"]["contact"], "noc@example.org");
    assert_eq!(
        (&overview["server"]["allow_defaults"], &overview["server"]["repository_allow_list"]),
        (&json!(false), &json!([]))
    );
    assert!(overview["server"]["version"].as_str().unwrap().starts_with("bootwright/"));
    let names: Vec<&String> = overview["branches"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["23.05", "24.10", "SNAPSHOT"]);
    assert_eq!(
        overview["branches"]["24.10"]["versions"],
        json!(["24.10.5", "24.10.4", "24.10.0-rc7", "24.10-SNAPSHOT"])
    );
    assert_eq!(
        overview["branches"]["24.10"]["targets"],
        json!({"x86/64": "x86_64", "ramips/mt7621": "mipsel_24kc"})
    );
    assert_eq!(overview["branches"]["23.05"]["targets"], json!({}));
    assert_eq!(get("latest.json"), json!({"latest": ["24.10.5", "23.05.5"]}));
    let branches = get("branches.json");
    assert_eq!(branches.as_array().unwrap().len(), 3);
    assert_eq!(branches[1], overview["branches"]["24.10"]);

    let index = get("releases/24.10.5/targets/x86/64/index.json");
    assert_eq!(
        index,
        json!({"architecture": "x86_64", "packages": {"libubox": "2023-05-23-1", "kmod-usb3": "6.6.93-r1"}})
    );
    let device = get("releases/24.10.5/targets/ramips/mt7621/netgear_r6220.json");
    assert_eq!((&device["id"], &device["version_code"]), (&json!("netgear_r6220"), &json!(REVISION)));
    assert_eq!(device["titles"], json!([{"vendor": "NETGEAR", "model": "R6220"}]));
    assert_eq!(device["build_at"], "2025-06-15T15:06:40.000000Z");
    assert!(device.get("profiles").is_none());
    assert_eq!(get("releases/24.10.5/targets/ramips/mt7621/nosuch.json"), json!({}));
    assert_eq!(server.get("/api/v1/revision/24.10.5/x86/64").json(), json!({"revision": REVISION}));
    for (path, status, detail) in [
        ("/api/v1/revision/invalid-version/x86/64", 400, "Unsupported version: invalid-version"),
        ("/api/v1/revision/24.10.99/x86/64", 400, "Unsupported version: 24.10.99"),
        ("/api/v1/revision/24.10.5/no/such", 404, "Failed to fetch revision for 24.10.5/no/such"),
        ("/api/v1/revision/24.10.5/no/..", 404, "Failed to fetch revision for 24.10.5/no/.."),
    ] {
        let refused = server.get(path);
        assert_eq!((refused.status, refused.detail()), (status, detail.to_owned()));
    }
    for (path, to) in [
        ("/api/v1/overview", "/json/v1/overview.json"),
        ("/api/v1/latest", "/json/v1/latest.json"),
        ("/overview", "/json/v1/overview.json"),
    ] {
        let moved = server.get(path);
        assert_eq!((moved.status, moved.header("location")), (301, to));
    }
    // A server is asked once for each file, however often and for whatever it is asked in vain.
    web.requests();
    for _ in 0..3 {
        get("overview.json");
        get("releases/24.10.5/targets/x86/64/index.json");
        assert_eq!(server.get("/json/v1/releases/24.10.77/targets/x86/64/index.json").status, 404);
        assert_eq!(server.get("/json/v1/releases/24.10.5/packages/nosuch-index.json").status, 404);
        assert_eq!(server.get("/json/v1/releases/24.10.5/targets/no/such/index.json").status, 404);
    }
    assert_eq!(web.requests(), Vec::<String>::new());
}
