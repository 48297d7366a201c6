//! Every parser of data from outside, as a function of bytes that must come back: with an
//! answer or an error, never with a panic, and not after minutes.
//!
//! The same table is used by the fuzzers of this folder and by the test suite, which runs all
//! cases that were ever found (`tests/data/fuzz/NAME/`).

use bootwright::build::index::{Chosen, Release, Stanzas};
use bootwright::build::managers::apt;
use bootwright::build::registry::answers;
use bootwright::catalog::{self, Files, Location, diagnostic, files::FileKind};
use bootwright::intake;
use bootwright::model::block_map::BlockMap;
use bootwright::model::catalog::CatalogSource;
use bootwright::model::http_signature::{self, Headers, Params};
use bootwright::model::receipt::SignedReceipt;
use bootwright::model::writer::WriterKey;
use bootwright::model::writer_api::{Beat, Claim, Enroll};
use bootwright::model::{Digest, probe};
use bootwright::planner::Schedule;
use bootwright::release::{
    PublicKey, Signer, Trust, cosign, dsse, keyless, openpgp, provenance, store, sums,
};
use bootwright::verify::{picture, qmp, serial};
use chrono::DateTime;

/// One parser.
pub struct Target {
    /// Its name, and that of its folders of seeds and cases.
    pub name: &'static str,
    /// Reads the bytes.
    pub run: fn(&[u8]),
    /// What it reads without complaint, to begin with.
    pub seeds: &'static [&'static [u8]],
}

const SPEC: &[u8] = include_bytes!("../specs/edge-gateway.yaml");
const POLICY: &[u8] = include_bytes!("../policies/house.yaml");
const BUNDLE: &[u8] = include_bytes!("../src/release/fixtures/sums.sigstore.json");
const TRUSTED_ROOT: &str = include_str!("../src/release/fixtures/trusted_root.json");
const PROFILE: &[u8] = include_bytes!("../profiles/edge-iot.yaml");
const SETTINGS: &[u8] = include_bytes!("../bootwright.yaml");
const LOCK: &[u8] = b"lockVersion: 1\nimage: edge\nrequest:\n  base: debian\n  suite: bookworm\n  architecture: x86_64\n  layers:\n  - {name: bootstrap, packages: [apt]}\nindexes:\n- {suite: bookworm, date: \"2026-09-05T10:00:00Z\", digest: \"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", keyring: \"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"}\npackages:\n- {name: apt, version: 2.6.1, architecture: amd64, layer: bootstrap, suite: bookworm, size: 1379000, path: pool/main/a/apt/apt_2.6.1_amd64.deb, sha256: \"sha256:1111111111111111111111111111111111111111111111111111111111111111\"}\n";
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
const RELEASE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nArchitectures: amd64\nComponents: main\nSHA256:\n 1111111111111111111111111111111111111111111111111111111111111111 100 main/binary-amd64/Packages\n";
const PACKAGES: &[u8] = b"Package: apt\nVersion: 2.6.1\nArchitecture: amd64\nStatus: install ok installed\nPre-Depends: libc6 (>= 2.36), init | systemd-sysv\nDescription: package manager\n more\n .\n words\nFilename: pool/main/a/apt/apt_2.6.1_amd64.deb\nSize: 1379000\n\nPackage: nano\nVersion: 7.2-1\nArchitecture: amd64\nSource: nano (7.2)\nStatus: install ok installed\n\n";
const MANIFEST: &[u8] = br#"{"format":1,"image":"edge","version":"20260101-01234567","base":"debian","suite":"bookworm","architecture":"x86_64","recipe":"sha256:1111111111111111111111111111111111111111111111111111111111111111","lock":"sha256:1111111111111111111111111111111111111111111111111111111111111111","published":"2026-01-01T00:00:00Z","files":[{"name":"evidence/boot.log","role":"evidence","size":3,"sha256":"sha256:1111111111111111111111111111111111111111111111111111111111111111"}],"layers":[],"verification":[],"packageCount":1,"tool":"bootwright 0.1.0"}"#;
const INDEX: &[u8] = br#"{"format":1,"serial":7,"updated":"2026-01-01T00:00:00Z","images":{"edge":{"channels":{"stable":"20260101-01234567"},"releases":[{"version":"20260101-01234567","recipe":"sha256:1111111111111111111111111111111111111111111111111111111111111111","manifest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","published":"2026-01-01T00:00:00Z"}]}}}"#;
const ENVELOPE: &[u8] = br#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"00","sig":"MEUCIQDx"}]}"#;
const REFERRERS: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":7,"artifactType":"application/spdx+json","annotations":{"a":"b"}}]}"#;
const ATTACHMENT: &[u8] = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/spdx+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/spdx+json","digest":"sha256:1111111111111111111111111111111111111111111111111111111111111111","size":7,"annotations":{"org.opencontainers.image.title":"sbom.spdx.json"}}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222","size":9}}"#;
const COSIGN: &[u8] = br#"{"critical":{"identity":{"docker-reference":"r.example/team/gw"},"image":{"docker-manifest-digest":"sha256:2222222222222222222222222222222222222222222222222222222222222222"},"type":"cosign container image signature"},"optional":{"creator":"bootwright"}}"#;
const SUMS: &[u8] = b"1111111111111111111111111111111111111111111111111111111111111111  a.iso\n2222222222222222222222222222222222222222222222222222222222222222 *evidence/b.log\n";
const BMAP: &[u8] = b"<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> 8192 </ImageSize>\n    <BlockSize> 4096 </BlockSize>\n    <BlocksCount> 2 </BlocksCount>\n    <MappedBlocksCount> 2 </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> 0000000000000000000000000000000000000000000000000000000000000000 </BmapFileChecksum>\n    <BlockMap>\n        <Range chksum=\"1111111111111111111111111111111111111111111111111111111111111111\"> 0-1 </Range>\n    </BlockMap>\n</bmap>\n";
const SOURCES: &[u8] = b"deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian bookworm main\n\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
const SERIAL: &[u8] = b"GNU GRUB\r\n\x1b[2J[    0.000000] Linux version 6.1.0\r\n[    1.0] Kernel panic - not syncing: VFS\r\nedge login: ";
const PROBE: &[u8] = b"BOOTWRIGHT begin facts 00112233445566778899aabbccddeeff 1111\nstate running\nlisten tcp 00000000:0016\nBOOTWRIGHT end facts 00112233445566778899aabbccddeeff 1\n";
const QMP: &[u8] = b"{\"QMP\":{}}\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true}}\n{\"return\":{},\"id\":1}\n{\"error\":{\"desc\":\"no\"},\"id\":2}\n";

const MERGED: &[u8] = b"apiVersion: bootwright/v1\nkind: OsImage\ninclude: [profiles/p.yaml]\nmetadata: {name: edge}\nspec:\n  base: debian\n  suite: bookworm\n  securityLevel: minimal\n  packages: {utils: {add: [nano], remove: [vim]}}\n\0apiVersion: bootwright/v1\nkind: Profile\nmetadata: {name: p}\nspec:\n  packages: {utils: [vim, curl], servers: [nginx]}\n  securityFeatures: {ssh: {port: 2222}}\n";
const PROMPTS: &[&[u8]] = &[
    b"Arch-based, hyprland, security-hardened, with docker and pytorch",
    b"Debian 12, no desktop, docker or podman; ports 80, 443 and udp 51820 open from 10.0.0.0/8, ssh on port 2222",
    b"user anna with sudo, host name edge-01, call it lab-box, in Berlin, german keyboard, 20 GB root, swap 4GB",
    b"restic every night at 2:30 to s3://backups/x, keep 7 daily and 4 weekly. Actually borg. Ban for 10 minutes after 3 tries",
    b"- btrfs\n- hourly snapshots, keep 24\n1. iso under 700 MB\n2. neither gnome nor kde; I've been using ubuntu 24.04",
];
const ANSWER: &[u8] = br#"```json
{"apiVersion":"bootwright/v1","kind":"OsImage","metadata":{"name":"web"},"spec":{"base":"debian","suite":"bookworm","packages":{"servers":["nginx"]},"securityFeatures":{"firewall":{"rules":[{"action":"allow","port":80}]}}}}
```"#;

const RECEIPT: &[u8] = br#"{"receipt":{"format":1,"job":"73d1e5a1b0b6e0a4b4d5a4f3f0e1d2c3b4a5968778695a4b3c2d1e0f00112233","asked":{"order":"lab","writer":"bench-1","slot":"a","image":"demo","version":"20261118-346be83d","repeat":"once","architecture":"x86_64","board":"netgear,r6220","number":0},"card":"cid:1b534d","device":"/dev/sdb","recipe":"sha256:346be83d346be83d346be83d346be83d346be83d346be83d346be83d346be83d","sha256":"sha256:00000000000000000000000000000000000000000000000000000000000000aa","readBack":"sha256:00000000000000000000000000000000000000000000000000000000000000aa","verify":"all","started":"2026-11-20T12:00:00Z","finished":"2026-11-20T12:01:00Z","result":"good","unhealthy":false},"key":"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=","signature":"AAAA"}"#;
const REQUEST: &[u8] = b"sig=(\"@method\" \"@path\" \"content-digest\");created=1764000000;nonce=\"00000000000000000000000000000001\";keyid=\"bench-1\";alg=\"ed25519\"\nsig=:AAAA:\nsha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:\n{\"slot\":\"a\",\"path\":\"/dev/disk/by-path/x\",\"instance\":\"i\",\"waitSeconds\":0}";

/// All parsers.
pub const TARGETS: &[Target] = &[
    Target { name: "spec", run: spec, seeds: &[SPEC] },
    Target { name: "merged", run: merged, seeds: &[MERGED] },
    Target { name: "prompt", run: prompt, seeds: PROMPTS },
    Target { name: "answer", run: answer, seeds: &[ANSWER] },
    Target { name: "profile", run: profile, seeds: &[PROFILE, b"profile: edge-iot\nservices: [nginx]\noffline_model: phi3:instruct\n"] },
    Target { name: "settings", run: settings, seeds: &[SETTINGS] },
    Target { name: "policy", run: policy, seeds: &[POLICY] },
    Target { name: "lock", run: lock, seeds: &[LOCK] },
    Target { name: "location", run: location, seeds: &[b"ssh://git@host/path#main", b"git@host:path", b"dir@v1.2", b"https://u:p@h/x#refs/tags/v1"] },
    Target { name: "schedule", run: schedule, seeds: &[b"0 3 * * 1", b"*/15 0-6 1,15 JAN-MAR SUN", b"@daily", b"0 0 29 2 *"] },
    Target { name: "release-file", run: release_file, seeds: &[RELEASE] },
    Target { name: "packages-file", run: packages_file, seeds: &[PACKAGES] },
    Target { name: "apt-sources", run: apt_sources, seeds: &[SOURCES] },
    Target { name: "manifest", run: manifest, seeds: &[MANIFEST] },
    Target { name: "index", run: index, seeds: &[INDEX] },
    Target { name: "envelope", run: envelope, seeds: &[ENVELOPE] },
    Target { name: "bundle", run: bundle, seeds: &[BUNDLE] },
    Target { name: "trusted-root", run: trusted_root, seeds: &[TRUSTED_ROOT.as_bytes()] },
    Target { name: "referrers", run: referrers, seeds: &[REFERRERS] },
    Target { name: "attachment", run: attachment, seeds: &[ATTACHMENT, COSIGN] },
    Target { name: "sums", run: checksums, seeds: &[SUMS] },
    Target { name: "receipt", run: receipts, seeds: &[RECEIPT] },
    Target { name: "signed-request", run: signed_requests, seeds: &[REQUEST] },
    Target { name: "blockmap", run: block_map, seeds: &[BMAP] },
    Target { name: "keys", run: keys, seeds: &[KEY.as_bytes(), b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJjaXBoZXIiOnsibm9uY2UiOiIifX0=\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZw==\n-----END PGP PUBLIC KEY BLOCK-----\n"] },
    Target { name: "serial", run: serial_line, seeds: &[SERIAL] },
    Target { name: "probe", run: probe_answers, seeds: &[PROBE] },
    Target { name: "qmp", run: qmp_messages, seeds: &[QMP] },
    Target { name: "picture", run: pictures, seeds: &[b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0"] },
];

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

fn check(path: &str, data: &[u8]) {
    let mut files = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
    if files.add(path, FileKind::Regular, data.to_vec()).is_err() {
        return;
    }
    let (catalog, found) = catalog::check(&files);
    diagnostic::render(&found, false);
    for (catalog, document) in catalog.iter().flat_map(|c| c.images.values().map(move |d| (c, d))) {
        let _ = bootwright::resolve::check(&document.spec, &catalog.settings.packages);
        let _ = bootwright::resolve::packages(&document.spec, &catalog.settings.packages);
    }
}

fn spec(data: &[u8]) {
    check("specs/edge.yaml", data);
    let mut files = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
    if files.add("specs/edge.yaml", FileKind::Regular, data.to_vec()).is_ok() {
        catalog::survey::mentions(&files, "specs/edge.yaml");
    }
}

/// Whatever is asked for, the document that comes out has no fault in its form.
fn prompt(data: &[u8]) {
    let prompt = text(data);
    let reading = intake::reading(&prompt);
    let spans = reading.fields.iter().flat_map(|said| &said.words);
    for span in spans.chain(reading.unread.iter().map(|unread| &unread.span)) {
        assert!(prompt.get(span.clone()).is_some(), "words that are not in the prompt");
    }
    let _ = intake::clashes(&prompt, &reading);
    let Ok(document) = intake::document(&prompt, &reading, None) else { panic!("no document") };
    well_formed(&document);
}

/// Whatever a model answers, it is refused or becomes a document that is read as what it is.
fn answer(data: &[u8]) {
    if let Ok(answer) = intake::answer::take(&text(data), "debian with nginx", "m", None) {
        let mut files = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
        if files.add("specs/x.yaml", FileKind::Regular, answer.document.text.clone().into_bytes()).is_ok() {
            let (_, found) = catalog::check(&files);
            assert!(!found.iter().any(|d| d.code.as_str() == "PARSE_ERROR"), "{}", answer.document.text);
        }
    }
}

fn well_formed(document: &intake::Document) {
    let Ok(findings) = intake::findings(document, None) else { panic!("not checked") };
    for finding in findings {
        let form = ["PARSE_ERROR", "INTERNAL"].contains(&finding.code.as_str())
            || finding.message.starts_with("unknown field")
            || finding.message.contains("` has no `")
            || finding.message.contains("should be")
            || finding.message.contains("is not a value of")
            || finding.message.contains("cannot be read");
        assert!(!form, "{}: {} in\n{}", finding.code.as_str(), finding.message, document.text);
    }
}

/// A spec and, behind a NUL, the profile that it includes.
fn merged(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (spec, profile) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let mut files = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
    for (path, bytes) in [("specs/edge.yaml", spec), ("profiles/p.yaml", profile)] {
        if files.add(path, FileKind::Regular, bytes.to_vec()).is_err() {
            return;
        }
    }
    let (catalog, found) = catalog::check(&files);
    diagnostic::render(&found, false);
    for (catalog, document) in catalog.iter().flat_map(|c| c.images.values().map(move |d| (c, d))) {
        let _ = bootwright::resolve::check(&document.spec, &catalog.settings.packages);
    }
}

/// A profile with an image over it, and with itself.
fn profile(data: &[u8]) {
    const IMAGE: &str = "apiVersion: bootwright/v1\nkind: OsImage\ninclude: [profiles/a.yaml]\nmetadata: {name: edge}\nspec: {base: debian, suite: bookworm, securityLevel: hardened, packages: {utils: {add: [nano]}}}\n";
    let mut files = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
    let other = include_bytes!("../profiles/keys-only-ssh.yaml").to_vec();
    let all = [
        ("profiles/a.yaml", data.to_vec()),
        ("profiles/keys-only-ssh.yaml", other),
        ("specs/edge.yaml", IMAGE.into()),
    ];
    for (path, bytes) in all {
        if files.add(path, FileKind::Regular, bytes).is_err() {
            return;
        }
    }
    let (_, found) = catalog::check(&files);
    diagnostic::render(&found, false);
    let Ok(name) = "edge".parse() else { return };
    let Ok(whole) = catalog::resolved(&files, &name) else { return };
    // What is printed is read as the same.
    let mut again = Files::new(CatalogSource { location: "fuzz".to_owned(), commit: None });
    if again.add("specs/edge.yaml", FileKind::Regular, whole.document.clone().into_bytes()).is_ok() {
        let second = catalog::resolved(&again, &name).unwrap_or_else(|f| panic!("{f}\n{}", whole.document));
        let values = |r: &catalog::Resolved| {
            r.values.iter().map(|v| (v.field.clone(), v.value.clone())).collect::<Vec<_>>()
        };
        let (mut one, mut two) = (values(&whole), values(&second));
        one.sort_by(|a, b| a.0.cmp(&b.0));
        two.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(one, two, "{}", whole.document);
    }
}

fn settings(data: &[u8]) {
    check("bootwright.yaml", data);
}

fn policy(data: &[u8]) {
    check("policies/house.yaml", data);
}

fn lock(data: &[u8]) {
    let Ok(image) = "edge".parse() else { return };
    if let Ok(lock) = catalog::parse_lock("specs/edge.lock.yaml", &text(data), &image) {
        // What was taken is written and read as the same.
        let again = catalog::parse_lock("x", &catalog::lock_text(&lock), &image);
        assert!(again.is_ok_and(|again| again == lock), "a lock is not what was written");
    }
}

fn location(data: &[u8]) {
    let all = text(data);
    let (place, rev) = all.split_once('\n').map_or((&*all, None), |(place, rev)| (place, Some(rev)));
    if let Ok(location) = Location::parse(place, rev) {
        let _ = location.to_string();
    }
}

fn schedule(data: &[u8]) {
    let all = text(data);
    let (fields, zone) = all.split_once('\n').map_or((&*all, None), |(fields, zone)| (fields, Some(zone)));
    let Ok(schedule) = Schedule::parse(fields, zone) else { return };
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
    if let Some(next) = schedule.next_after(now) {
        assert!(next > now, "the next time is not later");
    }
    assert!(schedule.last_due(now).is_none_or(|last| last <= now), "what was due is not past");
}

fn release_file(data: &[u8]) {
    let _ = Release::parse(&text(data)).check_suite("bookworm");
}

fn packages_file(data: &[u8]) {
    let text = text(data).into_owned();
    let _ = apt::installed(&text);
    let names: Vec<String> =
        text.lines().filter_map(|l| l.strip_prefix("Package: ")).take(8).map(str::to_owned).collect();
    let stanzas = Stanzas::of(vec![("bookworm".to_owned(), text)]);
    for name in names {
        let _ = stanzas.get(&Chosen { name, version: "1".to_owned(), architecture: "amd64".to_owned() });
    }
}

fn apt_sources(data: &[u8]) {
    for name in ["/etc/apt/sources.list", "/etc/apt/sources.list.d/x.sources"] {
        let _ = catalog::mirrors_from_apt(&[(name.to_owned(), text(data).into_owned())]);
    }
}

fn manifest(data: &[u8]) {
    let _ = store::check::parse_manifest(data);
}

fn index(data: &[u8]) {
    let _ = store::parse_payload(data);
}

fn envelope(data: &[u8]) {
    let trust = Trust::of(PublicKey::parse(KEY));
    assert!(provenance::read(data, &trust).is_err(), "nobody signed this");
    assert!(dsse::open("x", data, &trust).is_err(), "nobody signed this");
}

fn referrers(data: &[u8]) {
    if let Ok(index) = answers::Index::parse(data) {
        let again = answers::Index::parse(&index.write());
        assert!(again.is_ok_and(|again| again == index), "an index is not what was written");
    }
}

fn attachment(data: &[u8]) {
    let _ = answers::Attached::parse(data);
    let _ = cosign::subject(data);
}

fn bundle(data: &[u8]) {
    let holds = |bytes: &[u8], identity: &str| {
        keyless::verify(bytes, &text(data), TRUSTED_ROOT, identity, "https://issuer.example").is_ok()
    };
    let _ = holds(b"sums", "me");
    assert!(!holds(b"others", "me") && !holds(b"sums", "you"), "a bundle holds for what nobody signed");
}

fn trusted_root(data: &[u8]) {
    let bundle = String::from_utf8_lossy(BUNDLE);
    let _ = keyless::verify(b"sums", &bundle, &text(data), "me", "https://issuer.example");
}

fn checksums(data: &[u8]) {
    if let Ok(files) = sums::parse(&text(data)) {
        let written = sums::write(&files).unwrap_or_default();
        assert!(
            sums::parse(&written).is_ok_and(|again| again == files),
            "checksums are not what was written"
        );
    }
}

fn receipts(data: &[u8]) {
    let Ok(signed) = serde_json::from_slice::<SignedReceipt>(data) else { return };
    // Nobody who fuzzes has the private half of this key.
    assert!(signed.verified(&writer_key()).is_none(), "a receipt holds that nobody signed");
    assert!(signed.verified(&signed.key).is_none_or(|receipt| receipt.job == receipt.asked.id()));
    let again = serde_json::to_vec(&signed).unwrap_or_default();
    assert_eq!(
        serde_json::from_slice::<SignedReceipt>(&again).ok(),
        Some(signed),
        "it is not what was written"
    );
}

/// Three headers, a line each, and the body behind them.
fn signed_requests(data: &[u8]) {
    let text = text(data);
    let mut parts = text.splitn(4, '\n').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (signature_input, signature, content_digest, body) = (next(), next(), next(), next());
    let mut headers = Headers { content_digest, signature_input, signature };
    for digest in [headers.content_digest.clone(), content_digest_of(body.as_bytes())] {
        headers.content_digest = digest;
        let read = http_signature::read(&headers, "POST", "/v1/writer/claim", body.as_bytes());
        let Some((params, base, signature)) = read else { continue };
        assert!(!writer_key().verifies(&base, &signature), "a request holds that nobody signed");
        // One form only: what was read is written as it stood there.
        let again = params.sign("POST", "/v1/writer/claim", body.as_bytes(), |_| signature.clone());
        assert_eq!(again, headers, "two texts are one request");
        let other = http_signature::read(&headers, "POST", "/v1/writer/beat", body.as_bytes());
        assert!(other.is_none_or(|(_, other, _)| other != base), "one signature is good for two paths");
    }
    for read in [serde_json::from_str::<Enroll>(&body).is_ok(), serde_json::from_str::<Claim>(&body).is_ok()]
    {
        let _ = read || serde_json::from_str::<Beat>(&body).is_ok();
    }
}

fn content_digest_of(body: &[u8]) -> String {
    let params = Params { created: 0, nonce: String::new(), key_id: "w".parse().expect("a name") };
    params.sign("POST", "/", body, |_| String::new()).content_digest
}

fn writer_key() -> WriterKey {
    "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().expect("a key")
}

fn block_map(data: &[u8]) {
    let mut sealed = text(data).into_owned();
    // The map's own checksum would keep everything else from being reached.
    if let Some(at) = sealed.find("<BmapFileChecksum> ").map(|at| at + 19)
        && sealed.is_char_boundary(at + 64)
        && sealed.len() > at + 64
    {
        sealed.replace_range(at..at + 64, &"0".repeat(64));
        let digest = Digest::of(&sealed).hex();
        sealed.replace_range(at..at + 64, &digest);
    }
    if let Ok(map) = BlockMap::parse(&sealed) {
        let _ = (map.blocks(), map.mapped(), map.to_xml());
    }
}

fn keys(data: &[u8]) {
    let all = text(data);
    let _ = PublicKey::parse(&all);
    let _ = openpgp::verify(&all, b"x", &all);
    // Opening a sealed key takes a tenth of a second by design; only what is refused before is of interest.
    if !all.contains("scrypt") {
        let _ = Signer::parse(&all, Some(b"x"));
    }
}

fn serial_line(data: &[u8]) {
    let mut line = serial::Serial::default();
    for part in data.chunks(7) {
        line.push(part);
    }
    let _ = (line.last(), line.stuck());
    line.into_log();
}

fn probe_answers(data: &[u8]) {
    let mut reader = probe::Reader::default();
    for part in data.chunks(5) {
        reader.push(part);
    }
}

fn qmp_messages(data: &[u8]) {
    for line in text(data).lines() {
        let _ = qmp::Message::parse(line);
    }
}

fn pictures(data: &[u8]) {
    let _ = picture::check(data);
}
