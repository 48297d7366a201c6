//! The real program, a tiny distribution, a bucket: killed in the middle of an upload.

use super::super::crash::command;
use super::super::crash::world::{Said, World, spec};
use super::server::Server;
use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file whose bytes do not get shorter: the archive of the root goes in parts.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..(18 << 20) / 8).flat_map(|_| next()).collect()
}

fn world(server: &Server) -> World {
    let world = World::new("[rootfs]");
    let settings = world.settings("s3://images/store", ".bootwright");
    let settings = settings.replace(
        "store: {path: s3://images/store}",
        &format!("store: {{path: 's3://images/store', s3: {{endpoint: '{}'}}}}", server.endpoint()),
    );
    world.write("bootwright.yaml", &settings);
    world.write("specs/tiny.yaml", &spec("tiny", "[rootfs]"));
    world.write("specs/overlays/tiny/etc/motd", "changed\n");
    let noise_file = world.dir.join("specs/overlays/tiny/usr/share/noise");
    std::fs::create_dir_all(noise_file.parent().unwrap()).unwrap();
    std::fs::write(noise_file, noise()).unwrap();
    world.commit("A store in a bucket");
    world
}

fn run(world: &World, args: &[&str], stop_at: Option<&str>) -> Said {
    world.run_with(args, |command| {
        with_credentials(command);
        if let Some(at) = stop_at {
            command.env("BOOTWRIGHT_STOP_AT", at);
        }
    })
}

fn with_credentials(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", "someone").env("AWS_SECRET_ACCESS_KEY", "s3cret")
}

/// What somebody outside sees who knows the published formats only: the index is valid, and
/// all that it names is whole.
fn look(server: &Server, known: &mut BTreeSet<String>, last: &mut u64) -> Result<(), String> {
    let Some(envelope) = server.get("index.dsse.json") else {
        return if *last > 0 { Err("the index is gone".to_owned()) } else { Ok(()) };
    };
    let envelope: Value = serde_json::from_slice(&envelope).map_err(|e| e.to_string())?;
    let payload = base64::engine::general_purpose::STANDARD
        .decode(envelope["payload"].as_str().unwrap_or_default())
        .map_err(|e| e.to_string())?;
    let index: Value = serde_json::from_slice(&payload).map_err(|e| e.to_string())?;
    let serial = index["serial"].as_u64().ok_or("no serial")?;
    if serial < *last {
        return Err(format!("the index went back from {last} to {serial}"));
    }
    *last = serial;
    for (image, content) in index["images"].as_object().ok_or("no images")? {
        for release in content["releases"].as_array().ok_or("no releases")? {
            let at = format!("{image}/{}", release["version"].as_str().unwrap_or_default());
            let manifest = server.get(&format!("{at}/manifest.json")).ok_or(format!("{at}: no manifest"))?;
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&manifest)));
            if release["manifest"].as_str() != Some(&digest) {
                return Err(format!("{at}: not the manifest that the index names"));
            }
            if !known.insert(digest) {
                continue;
            }
            let manifest: Value = serde_json::from_slice(&manifest).map_err(|e| e.to_string())?;
            for file in manifest["files"].as_array().ok_or("no files")? {
                let name = file["name"].as_str().unwrap_or_default();
                let bytes = server.get(&format!("{at}/{name}")).ok_or(format!("{at}/{name} is missing"))?;
                let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
                if file["sha256"].as_str() != Some(&digest) {
                    return Err(format!("{at}/{name} has other bytes"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn killed_in_an_upload_and_started_again() {
    let server = Server::start();
    let world = world(&server);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let watching = threads.spawn(|| {
            let (mut known, mut last, mut looks) = (BTreeSet::new(), 0, 0);
            while !done.load(Ordering::SeqCst) {
                look(&server, &mut known, &mut last)?;
                looks += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            look(&server, &mut known, &mut last).map(|()| looks)
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kills(&server, &world)));
        done.store(true, Ordering::SeqCst);
        let looks = watching.join().unwrap().unwrap_or_else(|seen| panic!("a reader saw: {seen}"));
        if let Err(panicked) = result {
            std::panic::resume_unwind(panicked);
        }
        assert!(looks > 5, "{looks}");
    });
    commands(&server, &world);
}

fn kills(server: &Server, world: &World) {
    // The files of a release are staged first; then they, and parts of them, are sent.
    let (said, points) = world.traced(|command| {
        with_credentials(command).env("BOOTWRIGHT_STOP_AT", "publish.synced");
    });
    assert_eq!(said.output.status.signal(), Some(9), "{}", said.words());
    let staged = points.iter().filter(|point| *point == "publish.file").count();
    let mut stops: Vec<String> =
        [1, 3, 5, 8].iter().map(|n| format!("publish.file:{}", staged + n)).collect();
    stops.extend(["publish.pages".to_owned(), "publish.renamed".to_owned()]);
    let mut cut_off = 0;
    for at in &stops {
        // Begun anew each time, but for what only a writer takes back.
        for key in server.keys("").iter().filter(|key| !key.starts_with('.')) {
            server.delete(key);
        }
        let said = run(world, &["reconcile"], Some(at));
        assert_eq!(said.output.status.signal(), Some(9), "{at}: {}", said.words());
        assert!(server.get("index.dsse.json").is_none(), "{at}");
        cut_off += server.open_uploads();
    }
    assert!(cut_off > 0, "no upload in parts was cut off");
    let before = server.log().len();
    let said = run(world, &["reconcile"], None);
    assert!(said.output.status.success(), "{}", said.words());
    assert_eq!(said.report()["failed"], Value::Array(Vec::new()));
    assert_eq!(server.writes(before, "/tiny/2"), 0, "what was sent is not sent again");
    // Each that was recorded was taken back; one that was cut off before its record stays.
    let aborted = server.log().iter().filter(|l| l[0] == "DELETE" && l[2].contains("uploadId")).count();
    assert!(aborted > 0 && server.open_uploads() < cut_off, "{aborted} of {cut_off}");
    assert_eq!(server.keys("."), Vec::<String>::new());
    let idle = run(world, &["reconcile"], None);
    assert_eq!(idle.report()["planned"]["plan"]["steps"], Value::Array(Vec::new()), "{}", idle.words());
}

/// What a user asks for works on a bucket as on a folder.
fn commands(server: &Server, world: &World) {
    let report = |args: &[&str]| {
        let said = run(world, args, None);
        assert!(said.output.status.success(), "{args:?}: {}", said.words());
        said.report()
    };
    let list = report(&["release", "list"]);
    assert_eq!(list["store"], "s3://images/store");
    assert_eq!(list["images"][0]["releases"].as_array().unwrap().len(), 1, "{list}");
    let shown = report(&["release", "show", "tiny@edge"]);
    assert!(shown["location"].as_str().unwrap().starts_with("s3://images/store/tiny/"), "{shown}");
    report(&["release", "verify", "tiny@edge"]);
    report(&["release", "promote", "tiny@edge", "stable"]);
    report(&["release", "prune", "--keep", "1"]);
    report(&["plan", "--deep"]);
    report(&["release", "fetch", "tiny@stable", "--to", "copy"]);
    let web = server.web();
    report(&[
        "release",
        "fetch",
        "tiny@stable",
        "--store",
        &web,
        "--key",
        "keys/bootwright.pub",
        "--to",
        "web",
    ]);
    let same = command("diff").args(["-r", "copy", "web"]).current_dir(&world.dir).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    let offline = run(world, &["--offline", "release", "list"], None);
    assert!(!offline.output.status.success());
    // Without credentials, or with the wrong place, it says so and shows no secret.
    server.refuse("GET", "index.dsse.json", 403, 1);
    let refused = run(world, &["release", "list"], None);
    assert_eq!(refused.output.status.code(), Some(5), "{}", refused.words());
    assert!(!refused.words().contains("s3cret"));
}
