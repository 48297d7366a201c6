//! Releases: published, checked with other people's tools, attacked, killed, fetched.

use base64::Engine as _;
use bootwright::effects::{Cancel, Output, Process};
use bootwright::model::artifact::{Artifact, Built, BuiltLayer, InstalledPackage, VerifiedArtifact};
use bootwright::model::catalog::{CatalogSource, Commit};
use bootwright::model::event::Emitter;
use bootwright::model::evidence::{Check, Evidence, EvidenceFile, Verdict};
use bootwright::model::lock::{LOCK_VERSION, LayerRequest, Lock, LockRequest, LockedPackage};
use bootwright::model::name::{ChannelName, ImageName, Version};
use bootwright::model::observed::Defect;
use bootwright::model::recipe::{
    BUILD_FORMAT, BootMenu, LayerId, LayerRecipe, LayerStep, OverlayRecipe, Recipe,
};
use bootwright::model::release::{Index, Manifest};
use bootwright::model::spec::{Architecture, Base, BootMode, Limits, Output as Wanted_, Verify};
use bootwright::model::{ArtifactKind, Digest, ErrorCode, FailureClass};
use bootwright::release::changelog::{CommitLine, Inputs};
use bootwright::release::store::check::{verify_file, verify_folder};
use bootwright::release::store::{Fetch, IndexMemory, Wanted};
use bootwright::release::{Publication, Signer, Signers, Store, Trust, dsse, openpgp, provenance};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

mod must_fail;
mod rotation;

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn image() -> ImageName {
    "demo".parse().unwrap()
}

fn edge() -> ChannelName {
    "edge".parse().unwrap()
}

fn run(dir: &Path, program: &str, args: &[&str]) -> Output {
    Process::new(program).args(args).dir(dir).run(&Cancel::default()).unwrap()
}

/// A key made by openssl: PKCS#8 without a seal.
pub(crate) fn signers(dir: &Path, name: &str) -> Signers {
    let path = dir.join(name);
    if !path.exists() {
        let args = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let made = run(dir, "openssl", &args);
        assert!(made.status.success(), "{}", made.tail());
        std::fs::write(&path, made.stdout).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    Signers::alone(Signer::load(&path, None).unwrap())
}

fn packages(nginx: &str) -> Vec<(&'static str, String)> {
    vec![
        ("bash", "5.2.15-2+b7".to_owned()),
        ("libstdc++6", "12.2.0-14".to_owned()),
        ("nginx", nginx.to_owned()),
    ]
}

fn lock(nginx: &str) -> Lock {
    let names = packages(nginx).into_iter();
    Lock {
        lock_version: LOCK_VERSION,
        image: image(),
        request: LockRequest {
            base: Base::DEBIAN,
            suite: "bookworm".parse().unwrap(),
            architecture: Architecture::X86_64,
            layers: vec![LayerRequest { name: "bootstrap".into(), packages: vec!["nginx".parse().unwrap()] }],
        },
        indexes: Vec::new(),
        dates: Vec::new(),
        passed_over: Vec::new(),
        packages: names
            .map(|(name, version)| LockedPackage {
                name: name.parse().unwrap(),
                sha256: Digest::of(format!("{name} {version}")),
                size: 1000 + version.len() as u64,
                path: format!("pool/{name}.deb"),
                architecture: "amd64".into(),
                suite: "bookworm".into(),
                layer: "bootstrap".into(),
                wave: 0,
                version,
            })
            .collect(),
    }
}

fn recipe(lock: &Lock) -> Recipe {
    Recipe {
        build_format: BUILD_FORMAT,
        image: image(),
        base: Base::DEBIAN,
        suite: "bookworm".parse().unwrap(),
        architecture: Architecture::X86_64,
        epoch: 1_700_000_000,
        layers: vec![
            LayerRecipe {
                name: "bootstrap".into(),
                epoch: 1_700_000_000,
                step: LayerStep::Bootstrap { packages: lock.packages.clone() },
            },
            LayerRecipe {
                name: "overlay".into(),
                epoch: 1_700_000_000,
                step: LayerStep::Overlay {
                    entries: vec![OverlayRecipe::Symlink { path: "etc/x".into(), target: "y".into() }],
                },
            },
        ],
        outputs: vec![Wanted_::Iso, Wanted_::Oci],
        compression: bootwright::model::settings::Compression::Fast,
        boot_files: Vec::new(),
        boot_menu: BootMenu {
            kind: Default::default(),
            title: "demo".into(),
            timeout: 3,
            splash: None,
            colors: None,
            kernel_flags: Vec::new(),
        },
        verify: Verify::default(),
        limits: Limits::default(),
        lock: lock.digest(),
    }
}

pub(super) fn witness(dir: &Path, kind: ArtifactKind, bytes: &[u8]) -> (Artifact, VerifiedArtifact) {
    let path = dir.join(format!("built.{}", kind.suffix()));
    std::fs::write(&path, bytes).unwrap();
    let artifact = Artifact { kind, path, digest: Digest::of(bytes), size: bytes.len() as u64 };
    let log = dir.join("serial.log");
    std::fs::write(&log, "[ 0.0] Linux\nlogin:\n").unwrap();
    let picture = dir.join("screen.png");
    std::fs::write(&picture, PNG).unwrap();
    let check = |name: &str, boot: Option<BootMode>| Check {
        name: name.to_owned(),
        boot,
        verdict: Verdict::Passed,
        timings_ms: vec![("kernel".into(), 9_000), ("login".into(), 31_250)],
        findings: vec!["units failed: 0".into(), "port 80/tcp: open".into()],
        files: vec![
            EvidenceFile { name: format!("{name}.log"), path: log.clone() },
            EvidenceFile { name: format!("{name}.png"), path: picture.clone() },
        ],
    };
    let checks = match kind {
        ArtifactKind::Iso => {
            vec![check("boot-bios", Some(BootMode::Bios)), check("boot-uefi", Some(BootMode::Uefi))]
        }
        _ => vec![check("start", None)],
    };
    let environment = vec!["QEMU 7.2.22, TCG".to_owned()];
    let evidence = Evidence { artifact: artifact.digest, kind, environment, started: time(0), checks };
    (artifact.clone(), VerifiedArtifact::new(artifact, evidence).unwrap())
}

/// One transparent pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\x01\0\0\x05\0\x01\r\n-\xb4\0\0\0\0IEND\xaeB`\x82";

/// A release of two artifacts whose files are made in `dir`.
pub fn publication(dir: &Path, nginx: &str, at: i64) -> Publication {
    let lock = lock(nginx);
    let recipe = recipe(&lock);
    publication_of(dir, lock, recipe, nginx, at)
}

/// As [`publication`], of any recipe.
pub(crate) fn publication_of(dir: &Path, lock: Lock, recipe: Recipe, nginx: &str, at: i64) -> Publication {
    let iso = [nginx.as_bytes(), &[7; 70_000]].concat();
    let (iso, verified_iso) = witness(dir, ArtifactKind::Iso, &iso);
    let (oci, verified_oci) = witness(dir, ArtifactKind::OciArchive, format!("oci {nginx}").as_bytes());
    let layers = recipe.layers.iter().zip(recipe.layer_ids());
    let built = Built {
        firmware: None,
        recipe: recipe.digest(),
        artifacts: vec![iso, oci],
        layers: layers
            .map(|(layer, id)| BuiltLayer {
                name: layer.name.clone(),
                id: LayerId(id.0),
                cached: false,
                size: 123_456_789,
            })
            .collect(),
        packages: lock
            .packages
            .iter()
            .map(|p| InstalledPackage {
                name: p.name.to_string(),
                version: p.version.clone(),
                architecture: p.architecture.clone(),
                source: None,
                maintainer: Some("Some Team <team@example.org>".into()),
                homepage: None,
                sha256: Some(p.sha256),
            })
            .collect(),
    };
    let commit = Commit { id: "0123456789".repeat(4), date: time(at), subject: "nginx <b>&</b>".into() };
    Publication {
        version: Version::of(time(at), &recipe.digest()),
        lock_text: serde_saphyr::to_string(&lock).unwrap().into_bytes(),
        blobs: BTreeMap::new(),
        recipe: recipe.into(),
        lock: lock.into(),
        built,
        artifacts: vec![verified_iso, verified_oci],
        description: Some("A <small> demo & more".into()),
        channel: edge(),
        source: CatalogSource {
            location: "https://user:secret@example.org/catalog.git".into(),
            commit: Some(commit),
        },
        changes: Inputs {
            commits: vec![CommitLine {
                id: "0123456789".repeat(4),
                subject: "<script>alert(1)</script>".into(),
            }],
            configuration: vec!["configuration.hostname: a → b".into()],
        },
        builder: "urn:example:runner".into(),
        invocation: Some("run-1".into()),
        registry: None,
        started: time(at),
        published: time(at + 600),
        not_reproducible: Vec::new(),
    }
}

struct Shop {
    dir: tempfile::TempDir,
    store: Store,
    signers: Signers,
}

impl Shop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).with_url(Some("https://images.example.org".into()));
        let signers = signers(dir.path(), "one.key");
        Self { dir, store, signers }
    }

    fn with_release() -> (Self, Manifest) {
        let shop = Self::new();
        let manifest = shop.publish("1.22.1-9", 0);
        (shop, manifest)
    }

    fn publish(&self, nginx: &str, at: i64) -> Manifest {
        self.store.publish(publication(self.dir.path(), nginx, at), &self.signers).unwrap()
    }

    fn keys(&self) -> Trust {
        self.signers.keys().clone()
    }

    fn folder(&self, manifest: &Manifest) -> PathBuf {
        self.store.folder(&image(), &manifest.version).path().to_owned()
    }

    fn defects(&self, manifest: &Manifest) -> Vec<Defect> {
        self.store.verify(&image(), &manifest.version, &self.keys()).unwrap()
    }

    async fn fetch(
        &self,
        source: &str,
        to: &Path,
        memory: Option<&IndexMemory>,
    ) -> bootwright::model::Result<u64> {
        let request = Fetch {
            source,
            image: &image(),
            wanted: Wanted::Channel(edge()),
            only: &[],
            to,
            keys: &self.keys(),
            memory,
        };
        let (events, cancel) = (Emitter::default(), Cancel::default());
        bootwright::release::store::fetch::fetch(&request, &events, &cancel).await.map(|f| f.serial)
    }

    fn path(&self) -> String {
        self.store.path().display().to_string()
    }
}

fn name_of(manifest: &Manifest, end: &str) -> String {
    manifest.files.iter().find(|f| f.name.ends_with(end)).unwrap().name.clone()
}

/// Changes one byte of a file.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_release_holds_in_the_hands_of_other_tools() {
    let (shop, manifest) = Shop::with_release();
    let folder = shop.folder(&manifest);
    assert_eq!(shop.defects(&manifest), []);
    let sums = run(&folder, "sha256sum", &["--check", "--strict", "SHA256SUMS"]);
    assert!(sums.status.success(), "{}", sums.tail());
    assert_eq!(sums.text().lines().count(), manifest.files.len() + 1);
    for name in ["SHA256SUMS", "manifest.json"] {
        let signature = std::fs::read_to_string(folder.join(format!("{name}.sig"))).unwrap();
        let der = base64::engine::general_purpose::STANDARD.decode(signature).unwrap();
        std::fs::write(shop.dir.path().join("sig.der"), der).unwrap();
        let (key, der) = (shop.store.path().join("bootwright.pub"), shop.dir.path().join("sig.der"));
        let args =
            ["dgst", "-sha256", "-verify", key.to_str().unwrap(), "-signature", der.to_str().unwrap(), name];
        assert!(run(&folder, "openssl", &args).text().contains("Verified OK"));
    }
    let iso = name_of(&manifest, ".iso");
    let copied = run(&folder, "bmaptool", &["copy", "--bmap", &format!("{iso}.bmap"), &iso, "../../copy"]);
    assert!(copied.status.success(), "{}", copied.tail());
    let copy = shop.store.path().join("copy");
    assert_eq!(
        Digest::of(std::fs::read(copy).unwrap()),
        Digest::of(std::fs::read(folder.join(&iso)).unwrap())
    );
    // The files a recipe and a lock are known by carry their identities.
    assert_eq!(Digest::of(std::fs::read(folder.join("recipe.json")).unwrap()), manifest.recipe);
    let statement = std::fs::read(folder.join(provenance::FILE_NAME)).unwrap();
    let statement = provenance::read(&statement, &shop.keys()).unwrap().to_string();
    assert!(statement.contains(&Digest::of(std::fs::read(folder.join(iso)).unwrap()).hex()));
    assert!(!statement.contains("secret"));
}

#[test]
fn gpg_takes_the_openpgp_signature() {
    let mut shop = Shop::new();
    let home = tempfile::Builder::new().prefix("g").tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(home.path(), mode).unwrap();
    let gpg = |args: &[&str]| {
        let base = ["--batch", "--quiet", "--homedir", home.path().to_str().unwrap()];
        let output = run(
            home.path(),
            "gpg",
            &[&base[..], &["--pinentry-mode", "loopback", "--passphrase", ""], args].concat(),
        );
        assert!(output.status.success(), "{}", output.tail());
        output
    };
    gpg(&[
        "--faked-system-time",
        "1600000000",
        "--quick-generate-key",
        "r@example.org",
        "ed25519",
        "default",
        "never",
    ]);
    let secret = gpg(&["--armor", "--export-secret-keys"]).stdout;
    shop.signers.openpgp = Some(openpgp::SecretKey::parse(&secret, None).unwrap());
    let folder = shop.folder(&shop.publish("1", 0));
    let (asc, sums) = (folder.join("SHA256SUMS.asc"), folder.join("SHA256SUMS"));
    let good = gpg(&["--status-fd", "1", "--verify", asc.to_str().unwrap(), sums.to_str().unwrap()]);
    assert!(good.text().contains("GOODSIG"));
    run(home.path(), "gpgconf", &["--homedir", home.path().to_str().unwrap(), "--kill", "all"]);
}

#[test]
fn one_wrong_byte_anywhere_is_found() {
    let (shop, manifest) = Shop::with_release();
    let folder = shop.folder(&manifest);
    let mut names: Vec<String> = manifest.files.iter().map(|f| f.name.clone()).collect();
    names.extend(["manifest.json", "manifest.json.sig", "SHA256SUMS", "SHA256SUMS.sig"].map(String::from));
    for name in names {
        let path = folder.join(&name);
        let good = std::fs::read(&path).unwrap();
        flip(&path, good.len() / 2);
        assert!(!shop.defects(&manifest).is_empty(), "{name} flipped");
        let (_, offline) = verify_folder(&folder, &shop.keys()).unwrap();
        assert!(!offline.is_empty(), "{name} flipped, offline");
        std::fs::remove_file(&path).unwrap();
        assert!(!shop.defects(&manifest).is_empty(), "{name} missing");
        std::fs::write(&path, &good).unwrap();
        assert_eq!(shop.defects(&manifest), [], "{name} restored");
    }
    std::fs::write(folder.join("extra.iso"), "x").unwrap();
    assert_eq!(shop.defects(&manifest), [Defect::Orphaned { file: "extra.iso".into() }]);
}

#[test]
fn another_key_is_not_trusted() {
    let (shop, manifest) = Shop::with_release();
    let other = signers(shop.dir.path(), "other.key");
    let folder = shop.folder(&manifest);
    let untrusted = |code| assert_eq!(code, ErrorCode::Untrusted);
    untrusted(shop.store.index(other.keys()).unwrap_err().code);
    untrusted(shop.store.index(&Trust::of([])).unwrap_err().code);
    let (_, defects) = verify_folder(&folder, other.keys()).unwrap();
    let bad = |file: &str| defects.contains(&Defect::BadSignature { file: file.into() });
    assert!(bad("manifest.json") && bad("SHA256SUMS") && bad(provenance::FILE_NAME), "{defects:?}");
    let iso = folder.join(name_of(&manifest, ".iso"));
    verify_file(&iso, &shop.keys()).unwrap();
    untrusted(verify_file(&iso, other.keys()).unwrap_err().code);
    // A publisher with a key that nobody trusts does not overwrite the index either.
    let mine = publication(shop.dir.path(), "2", 86_400);
    untrusted(shop.store.publish(mine, &other).unwrap_err().code);
    assert_eq!(shop.store.index(&shop.keys()).unwrap().serial, 1);
}

#[test]
fn a_single_download_is_checked_against_the_signed_list() {
    let (shop, manifest) = Shop::with_release();
    let folder = shop.folder(&manifest);
    let alone = shop.dir.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    let iso = name_of(&manifest, ".iso");
    for name in [iso.as_str(), "SHA256SUMS"] {
        std::fs::copy(folder.join(name), alone.join(name)).unwrap();
    }
    assert_eq!(verify_file(&alone.join(&iso), &shop.keys()).unwrap_err().code, ErrorCode::NotFound);
    std::fs::copy(folder.join("SHA256SUMS.sig"), alone.join("SHA256SUMS.sig")).unwrap();
    verify_file(&alone.join(&iso), &shop.keys()).unwrap();
    std::fs::rename(alone.join(&iso), alone.join("other.iso")).unwrap();
    assert!(
        verify_file(&alone.join("other.iso"), &shop.keys()).unwrap_err().message.contains("does not list")
    );
    std::fs::rename(alone.join("other.iso"), alone.join(&iso)).unwrap();
    flip(&alone.join(&iso), 100);
    assert_eq!(verify_file(&alone.join(&iso), &shop.keys()).unwrap_err().code, ErrorCode::Untrusted);
}

#[test]
fn channels_move_and_old_releases_stay() {
    let (shop, first) = Shop::with_release();
    let second = shop.publish("1.22.1-9+deb12u1", 86_400);
    assert_eq!(second.previous.as_ref(), Some(&first.version));
    let index = shop.store.index(&shop.keys()).unwrap();
    assert_eq!(index.serial, 2);
    assert_eq!(index.on_channel(&image(), &edge()).unwrap().version, second.version);
    let stable: ChannelName = "stable".parse().unwrap();
    let promote =
        |version: &Version| shop.store.promote(&image(), version, &stable, &shop.signers, time(90_000));
    promote(&first.version).unwrap();
    promote(&first.version).unwrap();
    assert_eq!(shop.store.index(&shop.keys()).unwrap().serial, 3, "nothing changed, nothing written");
    let list = shop.store.list(&shop.keys()).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0].version, list[0].channels.as_slice()), (&second.version, &[edge()][..]));
    assert_eq!(list[1].channels, std::slice::from_ref(&stable));
    assert_eq!(promote(&"20200101-00000000".parse().unwrap()).unwrap_err().code, ErrorCode::NotFound);
    std::fs::remove_file(shop.folder(&second).join(name_of(&second, ".iso"))).unwrap();
    assert_eq!(promote(&second.version).unwrap_err().code, ErrorCode::Untrusted);
    let changelog = std::fs::read_to_string(shop.folder(&second).join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains("`nginx` `1.22.1-9` → `1.22.1-9+deb12u1`"), "{changelog}");
    assert!(changelog.contains("\\<script\\>"));
    for page in ["index.html", "demo/index.html"] {
        let page = std::fs::read_to_string(shop.store.path().join(page)).unwrap();
        assert!(
            page.contains(second.version.as_str()) && page.contains("stable") && !page.contains("<small>")
        );
    }
    let page = std::fs::read_to_string(shop.folder(&second).join("index.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("evidence/boot-bios.png"));
}

#[test]
fn publishing_again_changes_nothing_and_repairs_what_is_broken() {
    let (shop, first) = Shop::with_release();
    let manifest = || std::fs::read(shop.folder(&first).join("manifest.json")).unwrap();
    let before = manifest();
    assert_eq!(shop.publish("1.22.1-9", 0), first);
    assert_eq!((manifest(), shop.store.index(&shop.keys()).unwrap().serial), (before, 1));
    // Altered, missing, unsigned: replaced as a whole.
    let iso = shop.folder(&first).join(name_of(&first, ".iso"));
    flip(&iso, 5);
    assert_eq!(shop.store.observe(&shop.keys(), &[image()]).unwrap().images[&image()].channels.len(), 1);
    shop.publish("1.22.1-9", 0);
    assert_eq!(shop.defects(&first), []);
    std::fs::remove_file(shop.folder(&first).join("manifest.json.sig")).unwrap();
    shop.publish("1.22.1-9", 0);
    std::fs::remove_dir_all(shop.folder(&first)).unwrap();
    shop.publish("1.22.1-9", 0);
    assert_eq!(shop.defects(&first), []);
    assert_eq!(std::fs::read_dir(shop.store.path().join(".staging")).unwrap().count(), 0);
}

#[test]
fn the_same_input_gives_the_same_files() {
    let (one, other) = (Shop::new(), Shop::new());
    let manifest = one.publish("1", 0);
    other.publish("1", 0);
    // Signatures are random by nature, and what lists them differs with them.
    for file in &manifest.files {
        let read = |shop: &Shop| std::fs::read(shop.folder(&manifest).join(&file.name)).unwrap();
        let signed = file.name == provenance::FILE_NAME;
        assert_eq!(read(&one) == read(&other), !signed, "{}", file.name);
    }
}

#[test]
fn what_killed_writers_left_is_taken_up() {
    let (shop, first) = Shop::with_release();
    // Killed after the rename and before the index: the release is there and not listed.
    let index = std::fs::read(shop.store.path().join("index.dsse.json")).unwrap();
    let second = shop.publish("2", 86_400);
    let manifest = std::fs::read(shop.folder(&second).join("manifest.json")).unwrap();
    std::fs::write(shop.store.path().join("index.dsse.json"), index).unwrap();
    let stale = shop.store.path().join(".staging/demo-abc/release");
    std::fs::create_dir_all(&stale).unwrap();
    std::fs::write(stale.join("half.iso"), "x").unwrap();
    assert_eq!(shop.publish("2", 86_400).version, second.version);
    assert_eq!(std::fs::read(shop.folder(&second).join("manifest.json")).unwrap(), manifest, "adopted");
    assert!(!stale.exists(), "swept");
    assert_eq!((shop.defects(&first), shop.defects(&second)), (vec![], vec![]));
    // Killed between the index and its copies.
    std::fs::write(shop.store.path().join("index.json"), "old").unwrap();
    shop.publish("2", 86_400);
    let copy = std::fs::read(shop.store.path().join("index.json")).unwrap();
    let signature = std::fs::read_to_string(shop.store.path().join("index.json.sig")).unwrap();
    assert!(shop.signers.key.public().verifies(&copy, &signature));
    assert_eq!(serde_json::from_slice::<Index>(&copy).unwrap(), shop.store.index(&shop.keys()).unwrap());
}

#[test]
fn the_same_recipe_with_other_bytes_does_not_replace_a_sound_release() {
    let (shop, first) = Shop::with_release();
    let mut other = publication(shop.dir.path(), "1.22.1-9", 0);
    let (oci, verified) = witness(shop.dir.path(), ArtifactKind::OciArchive, b"not reproducible");
    other.built.artifacts[1] = oci;
    other.artifacts[1] = verified;
    let failure = shop.store.publish(other.clone(), &shop.signers).unwrap_err();
    assert_eq!(failure.class, FailureClass::Bug);
    assert!(failure.message.contains("other bytes"), "{failure}");
    assert_eq!(shop.defects(&first), []);
    other.not_reproducible.push(bootwright::model::release::NotReproducible {
        file: name_of(&first, ".oci.tar"),
        why: "test".into(),
    });
    assert_eq!(shop.store.publish(other, &shop.signers).unwrap(), first, "declared: the published one stays");
}

#[test]
fn pieces_that_do_not_belong_together_are_refused() {
    let shop = Shop::new();
    let good = || publication(shop.dir.path(), "1", 0);
    let mut wrong = Vec::new();
    let mut one = good();
    one.built.recipe = Digest::of("x");
    wrong.push(one);
    let mut one = good();
    one.artifacts.pop();
    wrong.push(one);
    let mut one = good();
    one.artifacts.clear();
    one.built.artifacts.clear();
    wrong.push(one);
    let mut one = good();
    one.version = "20231114-00000000".parse().unwrap();
    wrong.push(one);
    let mut one = good();
    one.lock_text = b"lockVersion: 1".to_vec();
    wrong.push(one);
    let mut one = good();
    one.lock = lock("2").into();
    wrong.push(one);
    for publication in wrong {
        let failure = shop.store.publish(publication, &shop.signers).unwrap_err();
        assert_eq!(failure.class, FailureClass::Bug, "{failure}");
    }
    // Changed after it was verified.
    let changed = good();
    std::fs::write(changed.artifacts[0].path(), "other bytes").unwrap();
    assert_eq!(shop.store.publish(changed, &shop.signers).unwrap_err().code, ErrorCode::Untrusted);
    assert!(!shop.store.path().join("demo").exists());
    assert!(!shop.store.path().join("index.dsse.json").exists());
}

#[test]
fn observing_sees_what_matters_and_is_quick() {
    let (shop, first) = Shop::with_release();
    let second = shop.publish("2", 86_400);
    let observe = || shop.store.observe(&shop.keys(), &[image(), "other".parse().unwrap()]).unwrap();
    let observed = observe();
    assert_eq!(observed.images.len(), 1);
    let head = &observed.images[&image()].channels[&edge()];
    assert_eq!((&head.version, head.defects.as_slice()), (&second.version, &[][..]));
    assert_eq!(head.recipe.as_ref().unwrap().digest(), head.recipe_digest);
    assert_eq!(head.lock.as_ref().unwrap(), &lock("2").into());
    assert_eq!(head.commit.as_ref().unwrap().subject, "nginx <b>&</b>");
    let by_recipe = &observed.images[&image()].by_recipe;
    assert_eq!(by_recipe[&first.recipe], first.version);
    let started = std::time::Instant::now();
    observe();
    assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
    // What is broken shows, and an old release without its files is no way back.
    std::fs::remove_file(shop.folder(&first).join(name_of(&first, ".iso"))).unwrap();
    flip(&shop.folder(&second).join("lock.yaml"), 3);
    std::fs::write(shop.folder(&second).join(name_of(&second, ".oci.tar")), "longer").unwrap();
    let observed = observe();
    let head = &observed.images[&image()].channels[&edge()];
    assert!(head.lock.is_none());
    assert_eq!(head.defects.len(), 2, "{:?}", head.defects);
    assert!(!observed.images[&image()].by_recipe.contains_key(&first.recipe));
    flip(&shop.store.path().join("index.dsse.json"), 200);
    assert_eq!(shop.store.observe(&shop.keys(), &[image()]).unwrap_err().code, ErrorCode::Untrusted);
}

#[tokio::test]
async fn fetched_from_a_folder_and_from_the_web() {
    let (shop, manifest) = Shop::with_release();
    let web = serve(shop.store.path().to_owned());
    for source in [shop.path(), format!("file://{}", shop.path()), web] {
        let to = tempfile::tempdir().unwrap();
        assert_eq!(shop.fetch(&source, to.path(), None).await.unwrap(), 1, "{source}");
        let (found, defects) = verify_folder(to.path(), &shop.keys()).unwrap();
        assert_eq!((found.as_ref(), defects), (Some(&manifest), vec![]), "{source}");
        let sums = run(to.path(), "sha256sum", &["--check", "--quiet", "SHA256SUMS"]);
        assert!(sums.status.success(), "{}", sums.tail());
        // Again: what is right stays, what is wrong comes anew.
        flip(&to.path().join(name_of(&manifest, ".iso")), 9);
        shop.fetch(&source, to.path(), None).await.unwrap();
        assert_eq!(verify_folder(to.path(), &shop.keys()).unwrap().1, []);
    }
}

#[tokio::test]
async fn a_store_that_lies_is_refused() {
    let (shop, first) = Shop::with_release();
    let to = tempfile::tempdir().unwrap();
    let old_index = std::fs::read(shop.store.path().join("index.dsse.json")).unwrap();
    let second = shop.publish("2", 86_400);
    let folder = shop.folder(&second);
    let source = shop.path();
    let code = |result: bootwright::model::Result<u64>| result.unwrap_err().code;
    // An old, rightly signed index.
    let index = shop.store.path().join("index.dsse.json");
    let good_index = std::fs::read(&index).unwrap();
    let memory = IndexMemory::new(shop.dir.path(), &source);
    memory.keep(&shop.store.index(&shop.keys()).unwrap()).unwrap();
    std::fs::write(&index, &old_index).unwrap();
    assert_eq!(code(shop.fetch(&source, to.path(), Some(&memory)).await), ErrorCode::Untrusted);
    assert_eq!(shop.fetch(&source, to.path(), None).await.unwrap(), 1);
    std::fs::write(&index, good_index).unwrap();
    // Other bytes, other manifest, the manifest of another release.
    let attack = async |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let to = tempfile::tempdir().unwrap();
        let result = shop.fetch(&source, to.path(), None).await;
        std::fs::write(&path, good).unwrap();
        assert!(!to.path().join("manifest.json").exists(), "{name}: looks complete");
        assert_eq!(code(result), ErrorCode::Untrusted, "{name}");
    };
    let iso = name_of(&second, ".iso");
    let mut flipped = std::fs::read(folder.join(&iso)).unwrap();
    flipped[1000] ^= 1;
    attack(&iso, flipped).await;
    attack(&iso, b"short".to_vec()).await;
    attack("manifest.json", std::fs::read(shop.folder(&first).join("manifest.json")).unwrap()).await;
    attack("SHA256SUMS", std::fs::read(shop.folder(&first).join("SHA256SUMS")).unwrap()).await;
    attack("SHA256SUMS.sig", b"AAAA".to_vec()).await;
    attack("manifest.json.sig", Vec::new()).await;
    let nowhere = shop.dir.path().join("nowhere").display().to_string();
    assert_eq!(code(shop.fetch(&nowhere, to.path(), None).await), ErrorCode::NotFound);
    let dead = shop.fetch("http://127.0.0.1:1", to.path(), None).await.unwrap_err();
    assert_eq!(dead.class, FailureClass::Upstream);
}

/// The publisher itself is hostile: everything is rightly signed and names files elsewhere.
#[tokio::test]
async fn signed_names_that_lead_elsewhere_are_refused() {
    let (shop, manifest) = Shop::with_release();
    let outside = shop.dir.path().join("store/outside.txt");
    std::fs::write(&outside, "mine").unwrap();
    for name in ["../../outside.txt", "/etc/passwd", "a/../../b", "manifest.json", "evidence/../x", ".ssh/x"]
    {
        let mut hostile = manifest.clone();
        hostile.files[0].name = name.to_owned();
        let bytes = serde_json::to_vec(&hostile).unwrap();
        let mut index = shop.store.index(&shop.keys()).unwrap();
        index.images.get_mut(&image()).unwrap().releases[0].manifest = Digest::of(&bytes);
        let payload = serde_json::to_vec(&index).unwrap();
        let envelope =
            dsse::seal("application/vnd.bootwright.index+json", &payload, &[&shop.signers.key]).unwrap();
        std::fs::write(shop.store.path().join("index.dsse.json"), envelope).unwrap();
        std::fs::write(shop.folder(&manifest).join("manifest.json"), &bytes).unwrap();
        let to = tempfile::tempdir().unwrap();
        let failure = shop.fetch(&shop.path(), to.path(), None).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::Untrusted, "{name}: {failure}");
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0, "{name}");
        assert!(!shop.defects(&manifest).is_empty());
    }
}

#[test]
fn two_publishers_and_a_reader_at_once() {
    let shop = Shop::new();
    shop.publish("0", 0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let (store, keys) = (&shop.store, shop.keys());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let index = store.index(&keys).unwrap();
                let head = index.on_channel(&image(), &edge()).unwrap();
                assert_eq!(store.verify(&image(), &head.version, &keys).unwrap(), []);
                reads += 1;
            }
            reads
        });
        let publisher = |name: &'static str| {
            let dir = shop.dir.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let signers = signers(shop.dir.path(), "one.key");
            move || {
                for round in 1..4 {
                    // Both publish the same releases: the second to come finds them there.
                    let publication = publication(&dir, &format!("{round}"), round * 86_400);
                    store.publish(publication, &signers).unwrap();
                }
            }
        };
        let (a, b) = (scope.spawn(publisher("a")), scope.spawn(publisher("b")));
        a.join().unwrap();
        b.join().unwrap();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(reader.join().unwrap() > 0);
    });
    let list = shop.store.list(&shop.keys()).unwrap();
    assert_eq!(list.len(), 4);
    for release in list {
        assert_eq!(shop.store.verify(&image(), &release.version, &shop.keys()).unwrap(), []);
    }
}

/// Run as a process of its own by the test below, in a folder that says so.
#[test]
#[ignore = "the child of a_publisher_killed_anywhere_leaves_a_sound_store"]
fn child_publisher() {
    if Path::new("publish-here").exists() {
        let here = std::env::current_dir().unwrap();
        let signers = signers(&here, "one.key");
        let store = Store::open(here.join("store"));
        store.publish(publication(&here, "2", 86_400), &signers).unwrap();
        std::fs::write("done", "").unwrap();
    }
}

#[test]
fn a_publisher_killed_anywhere_leaves_a_sound_store() {
    let exe = std::env::current_exe().unwrap();
    let (mut killed, mut listed, mut finished) = (0, 0, 0);
    for round in 0..24_u64 {
        let (shop, first) = Shop::with_release();
        std::fs::write(shop.dir.path().join("publish-here"), "").unwrap();
        let child = Process::new(&exe)
            .args(["release::child_publisher", "--exact", "--ignored", "--nocapture"])
            .dir(shop.dir.path())
            .spawn();
        let mut child = child.unwrap();
        let staging = shop.store.path().join(".staging");
        // Kill it at one of four moments: while it stages (a little later each time), once the
        // release is in its place, once the pages are there, once the index is.
        let read = |name: &str| std::fs::read(shop.store.path().join(name)).unwrap();
        let count = |folder: &Path| std::fs::read_dir(folder).map_or(0, Iterator::count);
        let (pages, index) = (read("index.html"), read("index.dsse.json"));
        let has_come = || match round % 4 {
            0 => count(&staging) > 0,
            1 => count(&shop.store.path().join("demo")) > 2,
            2 => read("index.html") != pages,
            _ => read("index.dsse.json") != index,
        };
        let started = std::time::Instant::now();
        while !has_come() && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed().as_secs() < 60, "the publisher does not come on");
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        if round % 4 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(round * 2));
        }
        child.kill();
        if shop.dir.path().join("done").exists() {
            finished += 1
        } else {
            killed += 1
        }
        let head = |shop: &Shop| {
            let index = shop.store.index(&shop.keys()).unwrap();
            index.on_channel(&image(), &edge()).unwrap().version.clone()
        };
        listed += i32::from(head(&shop) != first.version && !shop.dir.path().join("done").exists());
        // Whatever the channel points to is whole, and the old release is still there.
        assert_eq!(shop.store.verify(&image(), &head(&shop), &shop.keys()).unwrap(), [], "round {round}");
        assert_eq!(shop.defects(&first), []);
        let second = shop.publish("2", 86_400);
        assert_eq!(head(&shop), second.version);
        assert_eq!(shop.defects(&second), []);
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "nothing is left behind");
    }
    println!("{killed} killed, {listed} of them after the index, {finished} finished");
    assert!(killed > listed && killed > 6, "{killed} killed, {finished} finished");
}

/// A web server of plain files on a loopback port: enough of HTTP/1.1 for GET.
fn serve(root: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || answer(stream, &root));
        }
    });
    address
}

fn answer(mut stream: std::net::TcpStream, root: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = String::new();
    if reader.read_line(&mut request).unwrap_or(0) == 0 {
        return;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let (status, body) = match std::fs::read(root.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
