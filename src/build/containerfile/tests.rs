use super::*;
use crate::model::packaging::PackageSettings;
use crate::model::spec::OsImage;

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
    }
}

fn render(base: &str, suite: &str, spec: serde_json::Value, from: Option<&str>) -> Result<Rendered> {
    let document = document(base, suite, spec);
    let allowed = ["docker", "non-free", "aur", "testing", "guru"].map(str::to_owned).to_vec();
    let settings = PackageSettings { repositories: allowed, ..PackageSettings::default() };
    containerfile(&document, &resolve::packages(&document.spec, &settings), from)
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

/// Requirement 1, section 5.2: the order of the stages.
#[test]
fn the_stages_stand_in_order() {
    for (base, suite) in SYSTEMS {
        let text = render(base, suite, whole(), None).unwrap().text;
        let stages: Vec<usize> = [
            "FROM ",
            "System update",
            "Packages: base",
            "Packages: development",
            "Packages: security",
            "Packages: networking",
            "Packages: servers",
            "Shell and accounts",
            "Services",
            "Hardening",
            "Configuration files",
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
    for spec in [
        serde_json::json!({"defaults": {"users": [{"name": "a", "shell": format!("/bin/{mark}")}]}}),
        serde_json::json!({"defaults": {"locale": format!("C {mark}")}}),
        serde_json::json!({"defaults": {"timezone": format!("Europe/{mark}")}}),
        serde_json::json!({"defaults": {"timezone": "../../etc/shadow"}}),
    ] {
        assert!(render("debian", "bookworm", spec.clone(), None).is_err(), "{spec}");
    }
    let quoted =
        render("debian", "bookworm", serde_json::json!({"services": {"enable": ["a\\x2db@c"]}}), None)
            .unwrap();
    assert!(quoted.text.contains("systemctl enable 'a\\x2db@c.service'"), "{}", quoted.text);
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
