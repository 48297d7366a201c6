//! Releases in an OCI registry: pushed, with signature, bill of materials, provenance and the
//! release's own manifest attached, checked by other people's tools, watched and put right.
//!
//! Debian's docker-registry keeps no list of referrers, so the index under the digest's tag is
//! what it shows; `front` adds the list for the other way.

pub mod front;

use super::crash::command;
use super::crash::world::{Said, World, bootwright, said};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bootwright::effects::{Process, Running};
use front::Front;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// `htpasswd -nbB -C 5 pusher hunter2`.
pub const USERS: &str = "pusher:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
const SIGNATURES: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// Debian's docker-registry on a free loopback port.
pub struct Registry {
    _running: Running,
    pub host: String,
    folder: PathBuf,
}

impl Registry {
    pub fn start(folder: &Path, access: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("registry.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: 127.0.0.1:{port}}}\n{access}",
                folder.join("registry").display()
            ),
        )
        .unwrap();
        let mut running = Process::new("docker-registry").arg("serve").arg(&config).spawn().unwrap();
        // A full pipe would stop it.
        let (mut said, mut told) = (running.stdout().unwrap(), running.stderr().unwrap());
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                let folder = folder.join("registry/docker/registry/v2");
                return Self { _running: running, host: format!("127.0.0.1:{port}"), folder };
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("docker-registry does not answer");
    }

    /// Which manifests the repository has, and what each tag points to.
    fn content(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.folder.join("repositories/team/tiny/_manifests")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    open.push(entry.path());
                } else {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    found.push(format!("{} {text}", entry.path().display()));
                }
            }
        }
        found.sort();
        found
    }

    /// Removes a manifest, as its owner can.
    fn remove(&self, hex: &str) {
        let place = self.folder.join("repositories/team/tiny/_manifests/revisions/sha256").join(hex);
        fs::remove_dir_all(place).unwrap();
    }

    /// Takes a tag away, as its owner can.
    fn untag(&self, tag: &str) {
        fs::remove_dir_all(self.folder.join("repositories/team/tiny/_manifests/tags").join(tag)).unwrap();
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let done = command(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What skopeo says a tag or digest is, as it stands there.
fn raw(image: &str) -> Value {
    let text = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{image}")]);
    serde_json::from_str(&text).unwrap()
}

fn copy(from: &str, to: &str) {
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    run("skopeo", &[&["copy", "--quiet", "--insecure-policy"], &plain[..], &[from, to]].concat());
}

/// A catalog whose images are pushed below `prefix`.
fn catalog(prefix: &str) -> World {
    let world = World::new("[oci]");
    let settings = world.settings("releases", ".bootwright");
    let store = "store: {path: releases}";
    assert!(settings.contains(store));
    let pushed = format!("store: {{path: releases, registry: \"{prefix}\"}}");
    world.write("bootwright.yaml", &settings.replace(store, &pushed));
    world.commit("Push to a registry");
    world
}

/// The image of the one release, as its signed manifest names it: reference and digest.
fn image(world: &World, said: &Said) -> (String, String) {
    let path = world.store().join("tiny").join(&said.published()[0]).join("manifest.json");
    let manifest: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let text = |field: &str| manifest["registry"][field].as_str().unwrap().to_owned();
    (text("reference"), text("digest"))
}

/// `release verify` of an image with nothing but a key, from a folder that is no catalog.
fn verify(world: &World, image: &str, key: &Path) -> Said {
    let away = world.dir.parent().unwrap();
    let args =
        ["--output", "json", "release", "verify", &format!("oci://{image}"), "--key", key.to_str().unwrap()];
    said(bootwright(away, &args).output().unwrap())
}

fn key(world: &World) -> PathBuf {
    world.dir.join("keys/bootwright.pub")
}

fn reasons(said: &Said) -> String {
    said.report()["plan"]["steps"].to_string()
}

#[test]
fn a_release_is_in_the_registry_with_all_that_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), "");
    let world = catalog(&format!("{}/team", registry.host));
    let first = world.reconcile();
    assert!(first.output.status.success(), "{}", first.words());
    let (reference, digest) = image(&world, &first);
    let repository = reference.rsplit_once(':').unwrap().0.to_owned();
    let tag = digest.replace(':', "-");

    // The image is there under tag and digest, and can be had.
    let seen = run(
        "skopeo",
        &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{reference}")],
    );
    assert_eq!(seen.trim(), digest);
    let back = dir.path().join("back");
    copy(&format!("docker://{repository}@{digest}"), &format!("oci:{}:x", back.display()));
    let shown = world.run(&["release", "show", "tiny"]);
    assert_eq!(shown.report()["manifest"]["registry"]["digest"], digest, "{}", shown.words());

    // What is attached: an index under the digest's tag, each entry with the image as subject.
    let index = raw(&format!("{repository}:{tag}"));
    let mut kinds: Vec<&str> = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        kinds.push(entry["artifactType"].as_str().unwrap());
        let attached = raw(&format!("{repository}@{}", entry["digest"].as_str().unwrap()));
        assert_eq!(attached["subject"]["digest"], digest);
        assert_eq!(attached["artifactType"], entry["artifactType"]);
    }
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "application/spdx+json",
            "application/vnd.bootwright.release.v1+json",
            SIGNATURES,
            "application/vnd.in-toto+json",
        ]
    );
    openssl_takes_the_signature(&world, dir.path(), &repository, &digest, &tag);
    for image in [reference.clone(), format!("{repository}@{digest}")] {
        let good = verify(&world, &image, &key(&world));
        assert!(good.output.status.success(), "{}", good.words());
        assert_eq!(good.report()["checks"].as_array().unwrap().len(), 6, "{}", good.words());
    }

    // A second round and a deep look write nothing.
    let before = registry.content();
    for args in [&["reconcile"][..], &["reconcile", "--deep"]] {
        let again = world.run(args);
        assert!(again.output.status.success(), "{}", again.words());
        assert_eq!(again.published(), Vec::<String>::new());
    }
    assert_eq!(registry.content(), before);
    let forced = world.run(&["reconcile", "--force", "tiny"]);
    assert!(forced.output.status.success(), "{}", forced.words());
    assert_eq!(registry.content(), before, "the same release is pushed and signed once");

    must_fail(&world, dir.path(), &repository, &reference, &digest);
}

/// The signature under cosign's tag, by openssl alone.
fn openssl_takes_the_signature(world: &World, dir: &Path, repository: &str, digest: &str, tag: &str) {
    let folder = dir.join("signature");
    copy(&format!("docker://{repository}:{tag}.sig"), &format!("dir:{}", folder.display()));
    let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
    let payload = folder.join(layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
    let said: Value = serde_json::from_slice(&fs::read(&payload).unwrap()).unwrap();
    assert_eq!(said["critical"]["image"]["docker-manifest-digest"], digest);
    assert_eq!(said["critical"]["identity"]["docker-reference"], repository);
    assert_eq!(said["critical"]["type"], "cosign container image signature");
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    let der = dir.join("signature.der");
    fs::write(&der, STANDARD.decode(signature).unwrap()).unwrap();
    let key = key(world);
    let args = ["dgst", "-sha256", "-verify", key.to_str().unwrap(), "-signature", der.to_str().unwrap()];
    let verified = run("openssl", &[&args[..], &[payload.to_str().unwrap()]].concat());
    assert_eq!(verified.trim(), "Verified OK");
}

fn must_fail(world: &World, dir: &Path, repository: &str, reference: &str, digest: &str) {
    let mut count = 0;
    let mut refused = |what: &str, said: Said| {
        count += 1;
        assert!(!said.output.status.success(), "{what}: {}", said.words());
    };
    // Another key.
    let other = dir.join("other.pem");
    let made = run("openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    fs::write(&other, made).unwrap();
    let public = dir.join("other.pub");
    fs::write(&public, run("openssl", &["pkey", "-pubout", "-in", other.to_str().unwrap()])).unwrap();
    refused("another key", verify(world, reference, &public));

    // The image with another author: nothing is attached to it.
    let layout = dir.join("altered");
    copy(&format!("docker://{reference}"), &format!("oci:{}:x", layout.display()));
    run("umoci", &["config", "--image", &format!("{}:x", layout.display()), "--author", "somebody"]);
    let altered = format!("{repository}:altered");
    copy(&format!("oci:{}:x", layout.display()), &format!("docker://{altered}"));
    refused("another image", verify(world, &altered, &key(world)));

    // With the signature of the real one under its tag.
    let theirs = run(
        "skopeo",
        &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &format!("docker://{altered}")],
    );
    let (tag, their_tag) = (digest.replace(':', "-"), theirs.trim().replace(':', "-"));
    let (from, to) =
        (format!("docker://{repository}:{tag}.sig"), format!("docker://{repository}:{their_tag}.sig"));
    copy(&from, &to);
    refused("another image with our signature", verify(world, &altered, &key(world)));

    // With everything of the real one listed as its own.
    let index = raw(&format!("{repository}:{tag}"));
    put_manifest(repository, &their_tag, &index);
    refused("another image with all our attachments", verify(world, &altered, &key(world)));

    refused("no such tag", verify(world, &format!("{repository}:nothing"), &key(world)));
    let nowhere = format!("{repository}@sha256:{}", "0".repeat(64));
    refused("no such digest", verify(world, &nowhere, &key(world)));
    refused("no reference", verify(world, "tiny", &key(world)));
    println!("must-fail cases of an image in a registry: {count}");
}

/// Writes a manifest as anybody with access can.
fn put_manifest(repository: &str, reference: &str, manifest: &Value) {
    let (host, name) = repository.split_once('/').unwrap();
    let kind = manifest["mediaType"].as_str().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = reqwest::Client::new()
        .put(format!("http://{host}/v2/{name}/manifests/{reference}"))
        .header("content-type", kind)
        .body(manifest.to_string());
    let answer = runtime.block_on(request.send()).unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// What is wrong, how it gets so, and what a plan says of it.
type Broken<'a> = (&'a str, Box<dyn Fn() + 'a>, &'a str);

#[test]
fn what_is_wrong_in_the_registry_is_noticed_and_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), "");
    let world = catalog(&format!("{}/team", registry.host));
    let first = world.reconcile();
    assert!(first.output.status.success(), "{}", first.words());
    let (reference, digest) = image(&world, &first);
    let (repository, version) = reference.rsplit_once(':').unwrap();
    let tag = digest.replace(':', "-");
    // What somebody else attached stays through all of this.
    let mut index = raw(&format!("{repository}:{tag}"));
    let own = index["manifests"][0].clone();
    let mut theirs = raw(&format!("{repository}@{}", own["digest"].as_str().unwrap()));
    theirs["artifactType"] = json!("application/x.somebody-elses");
    let hex = hex::encode(Sha256::digest(theirs.to_string()));
    put_manifest(repository, &format!("sha256:{hex}"), &theirs);
    let strange = json!({
        "mediaType": theirs["mediaType"], "digest": format!("sha256:{hex}"),
        "size": theirs.to_string().len(), "artifactType": theirs["artifactType"],
    });
    index["manifests"] = json!([own, strange]);
    let altered = dir.path().join("altered");
    copy(&format!("docker://{reference}"), &format!("oci:{}:x", altered.display()));
    run("umoci", &["config", "--image", &format!("{}:x", altered.display()), "--author", "somebody"]);
    let broken: [Broken<'_>; 7] = [
        ("the tag is gone", Box::new(|| registry.untag(version)), "is not in the registry"),
        (
            "the tag was moved",
            Box::new(|| copy(&format!("oci:{}:x", altered.display()), &format!("docker://{reference}"))),
            "in the registry, not sha256:",
        ),
        ("a list that lacks most", Box::new(|| put_manifest(repository, &tag, &index)), "says which release"),
        (
            "a list with an entry that is gone",
            Box::new(|| {
                put_manifest(repository, &tag, &index);
                registry.remove(&hex);
            }),
            "says which release",
        ),
        (
            "an attachment is gone",
            Box::new(|| {
                let index = raw(&format!("{repository}:{tag}"));
                let entries = index["manifests"].as_array().unwrap();
                let sbom = entries.iter().find(|e| e["artifactType"] == "application/spdx+json").unwrap();
                registry.remove(sbom["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap());
            }),
            "sbom.spdx.json: it is not attached",
        ),
        ("the list is gone", Box::new(|| registry.untag(&tag)), "says which release"),
        (
            "no signature",
            Box::new(|| {
                registry.untag(&format!("{tag}.sig"));
                let mut index = raw(&format!("{repository}:{tag}"));
                index["manifests"].as_array_mut().unwrap().retain(|e| e["artifactType"] != SIGNATURES);
                put_manifest(repository, &tag, &index);
            }),
            "it has no signature",
        ),
    ];
    for (what, breaks, words) in &broken {
        breaks();
        let quick = world.run(&["plan"]);
        assert!(!quick.words().contains(words), "{what}: a quick plan asks no registry: {}", quick.words());
        let plan = world.run(&["plan", "--deep"]);
        assert!(reasons(&plan).contains(words), "{what}: {}", plan.words());
        let repaired = world.run(&["reconcile", "--deep"]);
        assert!(repaired.output.status.success(), "{what}: {}", repaired.words());
        assert_eq!(repaired.report()["repaired"][0]["image"], "tiny", "{what}: {}", repaired.words());
        let good = verify(&world, &reference, &key(&world));
        assert!(good.output.status.success(), "{what}: {}", good.words());
        let still = world.run(&["plan", "--deep"]);
        assert_eq!(reasons(&still), "[]", "{what}: {}", still.words());
        if *what == "a list that lacks most" {
            let kept = raw(&format!("{repository}:{tag}"))["manifests"].to_string();
            assert!(kept.contains("application/x.somebody-elses"), "{kept}");
        }
    }
    println!("ways to be wrong in a registry, noticed and put right: {}", broken.len());
    // A registry that cannot be asked is no reason to do anything.
    drop(broken);
    drop(registry);
    let plan = world.run(&["plan", "--deep"]);
    assert_eq!(reasons(&plan), "[]", "{}", plan.words());
    assert!(plan.words().contains("in the registry"), "nobody was told: {}", plan.words());
}

#[test]
fn a_registry_that_lists_referrers_gets_no_tag_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path(), "");
    let front = Front::start(&registry.host);
    let world = catalog(&format!("{}/team", front.host));
    let signed_in = |args: &[&str]| {
        world.run_with(args, |command| {
            command.env("BOOTWRIGHT_REGISTRY_USER", "pusher").env("BOOTWRIGHT_REGISTRY_PASSWORD", "hunter2");
        })
    };
    let first = signed_in(&["reconcile"]);
    assert!(first.output.status.success(), "{}", first.words());
    assert!(!first.words().contains("hunter2") && !first.words().contains("a-token"), "a secret was shown");
    let (reference, digest) = image(&world, &first);
    let writes = front.writes();
    let tag = digest.replace(':', "-");
    assert!(!writes.iter().any(|w| w.ends_with(&format!("/manifests/{tag}"))), "{writes:?}");
    assert!(writes.iter().any(|w| w.ends_with(&format!("/manifests/{tag}.sig"))), "{writes:?}");
    let check = format!("oci://{reference}");
    let good = signed_in(&["release", "verify", &check]);
    assert!(good.output.status.success(), "{}", good.words());
    assert_eq!(good.report()["checks"].as_array().unwrap().len(), 6, "pages were left out: {}", good.words());
    let deep = signed_in(&["reconcile", "--deep"]);
    assert!(deep.output.status.success(), "{}", deep.words());
    assert_eq!(front.writes(), writes, "a deep look writes nothing");
    // Who may not look cannot check.
    let stranger = world.run(&["release", "verify", &check]);
    assert!(!stranger.output.status.success(), "{}", stranger.words());
}

#[test]
fn a_registry_that_refuses_keeps_the_release_back() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    fs::write(&users, USERS).unwrap();
    let access = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", users.display());
    let registry = Registry::start(dir.path(), &access);
    let world = catalog(&format!("{}/team", registry.host));
    let with = |password: &str| {
        world.run_with(&["reconcile"], |command| {
            command.env("BOOTWRIGHT_REGISTRY_USER", "pusher").env("BOOTWRIGHT_REGISTRY_PASSWORD", password);
        })
    };
    let refused = with("wrong-secret");
    assert_eq!(refused.report()["failed"][0]["failure"]["class"], "host", "{}", refused.words());
    assert_eq!(refused.published(), Vec::<String>::new());
    assert!(!refused.words().contains("wrong-secret"), "the password was shown");
    assert!(!world.store().join("tiny").exists(), "a release went out without its image");
    let taken = with("hunter2");
    assert!(taken.output.status.success(), "{}", taken.words());
    assert!(!taken.words().contains("hunter2"), "the password was shown");
}
