use super::*;
use crate::model::catalog::{OverlayContent, OverlayEntry};
use crate::model::packaging::PackageSettings;
use crate::model::spec::OsImage;
use std::collections::BTreeMap;

fn document(base: &str, suite: &str, spec: serde_json::Value) -> ImageDocument {
    let mut document = serde_json::json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": base, "suite": suite, "outputs": ["oci"]}
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    let spec: OsImage = serde_json::from_value(document).unwrap();
    ImageDocument {
        spec,
        place: "specs/edge.yaml:1".to_owned(),
        lock: None,
        overlay: Vec::new(),
        files: BTreeMap::new(),
        origins: Default::default(),
        trees: Default::default(),
    }
}

fn render(base: &str, suite: &str, spec: serde_json::Value, from: Option<&str>) -> Result<Rendered> {
    render_all(&document(base, suite, spec), from)
}

fn render_all(document: &ImageDocument, from: Option<&str>) -> Result<Rendered> {
    let allowed = ["docker", "non-free", "aur", "testing", "guru"].map(str::to_owned).to_vec();
    let settings = PackageSettings { repositories: allowed, ..PackageSettings::default() };
    containerfile(document, &resolve::packages(&document.spec, &settings), from)
}

use crate::resolve;

/// A spec with something for every stage.
fn whole() -> serde_json::Value {
    serde_json::json!({
        "packages": {
            "base": ["ca-certificates"], "development": ["git", "docker"], "security": ["apparmor"],
            "networking": ["curl"], "servers": ["nginx"], "utils": ["htop"]
        },
        "defaults": {"locale": "de_DE.UTF-8", "timezone": "Europe/Berlin",
            "users": [{"name": "admin", "sudo": true, "groups": ["video"], "passwordHash": "$6$salt$hash",
                "sshKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlGqbKEIiDnWlCcaYJcRYjDrCHYIVI6cU8kPr2sFfVc a@b"]}]},
        "securityFeatures": {"firewall": {"rules": [{"action": "allow", "port": 22}]}, "ssh": {"fail2ban": true},
            "kernelHardening": ["restrict-dmesg"]},
        "services": {"enable": ["nginx"]}
    })
}

/// The same with an overlay, scripts and a service that they bring.
fn with_own_files(base: &str, suite: &str) -> ImageDocument {
    let mut spec = whole();
    spec["postInstall"] = serde_json::json!({"scripts": ["specs/scripts/last.sh"], "services": ["mine"]});
    let mut document = document(base, suite, spec);
    let entry = |path: &str, content| OverlayEntry { path: path.to_owned(), content };
    document.overlay = vec![
        entry("bin/tool", OverlayContent::File { bytes: (*b"#!/bin/sh\n").into(), executable: true }),
        entry("etc/a b $x\nRUN [c]", OverlayContent::File { bytes: (*b"x").into(), executable: false }),
        entry("etc/link", OverlayContent::Symlink { target: "/etc/hosts".to_owned() }),
    ];
    let script: &[u8] = b"#!/bin/sh\n";
    document.files = BTreeMap::from([("specs/scripts/last.sh".to_owned(), script.into())]);
    document
}

const SYSTEMS: [(&str, &str); 8] = [
    ("arch", "rolling"),
    ("debian", "bookworm"),
    ("ubuntu", "noble"),
    ("alpine", "3.22"),
    ("fedora", "42"),
    ("opensuse", "leap-15.6"),
    ("void", "rolling"),
    ("gentoo", "rolling"),
];

/// One for each distribution, kept for review in `tests/it/containerfiles/`: `UPDATE=1` writes them.
#[test]
fn each_distribution_has_its_own() {
    let digest = "0".repeat(64);
    for (base, suite) in SYSTEMS {
        let from = format!("{base}:{suite}@sha256:{digest}");
        let rendered = render(base, suite, whole(), Some(&from)).unwrap();
        crate::catalog::assert_current(
            &format!("tests/it/containerfiles/{base}.Containerfile"),
            &rendered.text,
        );
    }
}

/// The order of an image's layers.
#[test]
fn the_stages_stand_in_order() {
    for (base, suite) in SYSTEMS {
        let text = render_all(&with_own_files(base, suite), None).unwrap().text;
        let stages: Vec<usize> = [
            "FROM ",
            "System update",
            "Packages: system",
            "Packages: base",
            "Packages: development",
            "Packages: security",
            "Packages: networking",
            "Packages: servers",
            "Configuration: files ---",
            "Configuration: accounts",
            "Configuration: files of users",
            "Configuration: programs",
            "Configuration: services",
            "--- Overlay",
            "--- Post-install",
            "--- Start",
        ]
        .iter()
        .map(|stage| text.find(stage).unwrap_or_else(|| panic!("{base} has no {stage}")))
        .collect();
        assert!(stages.is_sorted(), "{base}: {stages:?}");
    }
}

#[test]
fn secrets_stay_out_of_the_text() {
    for (base, suite) in SYSTEMS {
        let rendered = render(base, suite, whole(), None).unwrap();
        assert!(!rendered.text.contains("$6$"), "{base}");
        assert!(rendered.files.iter().any(|f| f.path == "accounts/admin"));
    }
}

#[test]
fn the_base_image_is_a_name_and_nothing_else() {
    for bad in ["debian\nRUN id", "debian; id", "-x", "a b", "debian@sha256:00", "$(id)", "debian@sha256:ZZ"]
    {
        assert!(render("debian", "bookworm", serde_json::json!({}), Some(bad)).is_err(), "{bad:?}");
    }
    let plain = render("debian", "bookworm", serde_json::json!({}), None).unwrap();
    assert!(
        plain.text.contains("FROM debian:bookworm\n")
            && plain.warnings.iter().any(|w| w.contains("not pinned"))
    );
    assert!(render("debian", "forky", serde_json::json!({}), None).is_err());
}

/// What comes from a spec cannot become an instruction or a command.
#[test]
fn nothing_of_a_spec_gets_out_of_its_place() {
    let mark = "x; touch /mark";
    let lines = "/bin/sh\nRUN touch /mark";
    for spec in [
        serde_json::json!({"defaults": {"locale": format!("C {mark}")}}),
        serde_json::json!({"defaults": {"users": [{"name": "a", "shell": lines}]}}),
        serde_json::json!({"defaults": {"timezone": lines}}),
    ] {
        assert!(render("debian", "bookworm", spec.clone(), None).is_err(), "{spec}");
    }
    for (spec, quoted) in [
        (serde_json::json!({"defaults": {"timezone": mark}}), format!("'/usr/share/zoneinfo/{mark}'")),
        (
            serde_json::json!({"defaults": {"users": [{"name": "a", "shell": mark}]}}),
            format!("--shell '{mark}'"),
        ),
    ] {
        let text = render("debian", "bookworm", spec, None).unwrap().text;
        assert_eq!(text.matches(&quoted).count(), text.matches(mark).count(), "{text}");
        assert!(text.contains(mark));
    }
    let quoted =
        render("debian", "bookworm", serde_json::json!({"services": {"enable": ["a\\x2db@c"]}}), None)
            .unwrap();
    assert!(quoted.text.contains("systemctl enable -- 'a\\x2db@c.service'"), "{}", quoted.text);
}

#[test]
fn what_is_built_from_recipes_is_left_out_and_told() {
    let rendered =
        render("arch", "rolling", serde_json::json!({"packages": {"utils": ["yay", "htop"]}}), None).unwrap();
    assert!(!rendered.text.contains("--needed \\\n        yay") && rendered.text.contains("htop"));
    assert!(rendered.warnings.iter().any(|w| w.starts_with("yay is built from users' recipes")));
}

#[test]
fn a_lock_pins_versions() {
    let mut document = document("debian", "bookworm", serde_json::json!({"packages": {"utils": ["htop"]}}));
    let lock = serde_json::json!({
        "lockVersion": crate::model::lock::LOCK_VERSION, "image": "edge",
        "request": {"base": "debian", "suite": "bookworm", "architecture": "x86_64", "layers": []},
        "indexes": [],
        "packages": [{"layer": "utils", "name": "htop", "version": "1:3.2.2-2~x", "architecture": "amd64",
            "path": "pool/main/h/htop.deb", "suite": "bookworm", "size": 1, "sha256": "0".repeat(64)}]
    });
    document.lock = Some(serde_json::from_value(lock).unwrap());
    let resolved = resolve::packages(&document.spec, &PackageSettings::default());
    let text = containerfile(&document, &resolved, None).unwrap().text;
    assert!(text.contains("htop=1:3.2.2-2~x"), "{text}");
}

/// Copied as a folder, an overlay with `bin/tool` would replace the link `/bin` (seen with buildah).
#[test]
fn an_overlay_goes_in_as_an_archive_without_folders() {
    let rendered = render_all(&with_own_files("debian", "bookworm"), None).unwrap();
    assert!(rendered.text.contains("\nADD --chown=0:0 overlay.tar /\n"), "{}", rendered.text);
    assert!(!rendered.text.contains("RUN [c]"), "a name became an instruction: {}", rendered.text);
    let archive = rendered.files.iter().find(|f| f.path == "overlay.tar").unwrap();
    let (bytes, _) = bytes(archive).unwrap();
    let mut archive = tar::Archive::new(bytes);
    let entries: Vec<(String, u32, u64)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            (path, header.mode().unwrap(), header.uid().unwrap())
        })
        .collect();
    let expected = [("bin/tool", 0o755, 0), ("etc/a b $x\nRUN [c]", 0o644, 0), ("etc/link", 0o777, 0)];
    assert_eq!(entries, expected.map(|(path, mode, uid)| (path.to_owned(), mode, uid)));
    let (at, services) =
        (rendered.text.find("target=/run/script"), rendered.text.find("enable -- mine.service"));
    assert!(at < services && at.is_some(), "what scripts bring is switched on after them");
}

/// Nothing of the plan is lost on the way, and nothing else is written.
#[test]
fn the_whole_plan_is_carried() {
    for (base, suite) in SYSTEMS {
        let document = document(base, suite, whole());
        let resolved = resolve::packages(&document.spec, &PackageSettings::default());
        let init = document.spec.spec.init_system();
        let categories = categories(&resolved, tables::of(document.spec.spec.base).in_container(init));
        let plan = plan(&document, &categories).unwrap();
        let rendered = containerfile(&document, &resolved, None).unwrap();
        for file in &plan.files {
            let kept = match &file.content {
                configure::FileContent::Bytes { mode, bytes: wanted } => rendered.files.iter().any(|f| {
                    f.path == format!("root/{}", file.path) && bytes(f) == Some((wanted.as_slice(), *mode))
                }),
                configure::FileContent::Link { target } => {
                    rendered.text.contains(&format!("ln -sfn {target} /{}", file.path))
                }
            };
            assert!(kept, "{base}: {}", file.path);
        }
        for service in &plan.on {
            assert!(rendered.text.contains(service), "{base}: {service}");
        }
        let copied = rendered.files.iter().filter(|f| f.path.starts_with("root/")).count();
        let links =
            plan.files.iter().filter(|f| matches!(f.content, configure::FileContent::Link { .. })).count();
        assert_eq!(copied + links, plan.files.len(), "{base}");
    }
}

#[test]
fn names_that_would_steer_an_instruction_are_refused() {
    let file = |path: &str| {
        let mut plan = Plan::default();
        plan.file(path, 0o644, "x");
        carried::configuration(&plan, Init::Systemd, &mut Rendered::default())
    };
    for bad in
        ["etc/a b", "etc/$HOME", "etc/[x]", "etc/x*", "etc/x\nRUN id", "/etc/x", "etc/../x", "etc//x", "a\\b"]
    {
        assert!(file(bad).is_err(), "{bad:?}");
    }
    assert!(file("etc/systemd/system/wpa_supplicant@.service.d/10-bootwright.conf").is_ok());
    assert!(file("top").is_ok());
}
