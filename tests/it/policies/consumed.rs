//! Every input is read by something, or it is an error that names it.

use super::{SPEC, checked, errors, in_memory, loaded};
use crate::catalog::recipes::answer;
use bootwright::catalog::{self, Severity};

const HEAD: &str = "apiVersion: bootwright/v1\nkind: Settings\n";

/// A file beside `specs/edge.yaml`, its text, and words of the complaint.
const UNREAD: [(&str, &str, &str); 20] = [
    ("specs/overlays/lab/etc/motd", "x", "overlay is of no image"),
    ("specs/overlays/Edge/etc/motd", "x", "overlay is of no image"),
    ("specs/overlays/motd", "x", "belong into a folder"),
    ("specs/lab.lock.yaml", "lockVersion: 1\n", "lock is of no image"),
    ("specs/scripts/setup.sh", "#!/bin/sh\n", "nothing reads this file"),
    ("specs/pictures/back.png", "x", "nothing reads this file"),
    ("specs/lab.yml", SPEC, "nothing reads this file"),
    ("specs/lab.json", "{}", "nothing reads this file"),
    ("specs/more/lab.yaml", SPEC, "nothing reads this file"),
    ("specs/lab.yaml", "# nothing\n", "holds no document"),
    ("specs/schema/lab.json", "{}", "nothing reads this file"),
    ("specs/schema/lab.yaml", SPEC, "nothing reads this file"),
    ("policies/house.yml", "x", "nothing reads this file"),
    ("policies/house.rego", "x", "nothing reads this file"),
    ("runners/one.json", "x", "nothing reads this file"),
    (
        "bootwright.yaml",
        "mirrors: [{base: debian, urls: [http://m/], suites: [trixie], components: [main], keyring: k}]\n",
        "no image is made from suite trixie",
    ),
    (
        "bootwright.yaml",
        "mirrors: [{base: debian, urls: [http://m/], suites: ['{suite}', trixie-backports], components: [main], keyring: k}]\n",
        "no image is made from suite trixie-backports",
    ),
    (
        "bootwright.yaml",
        "mirrors: [{base: arch, urls: [http://m/], suites: [x], components: [main], keyring: k}]\n",
        "nothing reads this",
    ),
    ("bootwright.yaml", "store: {registry: registry.example/team}\n", "no image has the output oci"),
    ("bootwright.yaml", "mirror: []\n", "unknown field `mirror`"),
];

#[test]
fn what_nothing_reads_is_an_error_that_names_it() {
    for (path, text, words) in UNREAD {
        let settings = format!("{HEAD}{text}");
        let text = if path == "bootwright.yaml" { &settings } else { text };
        let found = errors(&[("specs/edge.yaml", SPEC), (path, text)]);
        assert_eq!(found.len(), 1, "{path}: {found:#?}");
        assert!(found[0].message.contains(words), "{path}: {found:#?}");
        assert!(path.starts_with(found[0].file.trim_end_matches("/etc/motd")), "{path}: {found:#?}");
        assert!(found[0].hint.is_some(), "{found:#?}");
        if path == "bootwright.yaml" {
            assert!(found[0].line == Some(3) && found[0].column.is_some(), "{found:#?}");
        }
    }
}

#[test]
fn everything_that_is_read_may_stay() {
    let spec = format!(
        "{SPEC}  outputs: [iso, oci]\n  channel: stable\n  postInstall: {{scripts: [specs/scripts/setup.sh]}}\n"
    );
    let settings = format!(
        "{HEAD}channels: [stable, promoted-by-hand]
store: {{registry: registry.example/team}}
mirrors:
  - {{base: debian, urls: [http://m/], suites: ['{{suite}}', '{{suite}}-updates', bookworm-backports, bookworm/updates, stable, internal], components: [main], keyring: k}}
"
    );
    let found = errors(&[
        ("bootwright.yaml", &settings),
        ("specs/edge.yaml", &spec),
        ("specs/scripts/setup.sh", "#!/bin/sh\n"),
        ("specs/overlays/edge/etc/motd", "x"),
        ("specs/overlays/README.md", "x"),
        ("specs/README.md", "x"),
        ("specs/.gitkeep", ""),
        ("policies/.gitkeep", ""),
        ("policies/README.md", "x"),
        ("specs/schema/os-image.json", "{}"),
        ("specs/schema/policy.json", "{}"),
    ]);
    assert!(found.is_empty(), "{found:#?}");
    // A catalog that was just begun has settings and no image yet.
    let begun = format!(
        "{HEAD}channels: [edge, stable]
mirrors: [{{base: debian, urls: [http://m/], suites: [trixie], components: [main], keyring: k}}]
"
    );
    assert!(errors(&[("bootwright.yaml", &begun)]).is_empty());
}

#[test]
fn all_of_it_is_said_at_once() {
    let settings = format!("{HEAD}channels: [edge, stable, beta]\nstore: {{registry: r.example/t}}\n");
    let found = errors(&[
        ("bootwright.yaml", &settings),
        ("specs/edge.yaml", SPEC),
        ("specs/x.sh", "x"),
        ("specs/lab.lock.yaml", "x"),
        ("policies/x.yml", "x"),
    ]);
    assert_eq!(found.len(), 4, "{found:#?}");
}

/// While a spec cannot be read nobody knows what it would have used.
#[test]
fn a_broken_spec_accuses_nobody_else() {
    let settings = format!("{HEAD}channels: [edge, stable]\n");
    let broken = SPEC.replace("edge", "stable").replace("suite", "siute");
    let found = errors(&[("bootwright.yaml", &settings), ("specs/a.yaml", SPEC), ("specs/b.yaml", &broken)]);
    assert!(found.iter().all(|d| d.file == "specs/b.yaml"), "{found:#?}");
}

#[test]
fn stale_pins_are_named_with_their_place() {
    let old = format!("{SPEC}  packages: {{utils: [htop, nano]}}\n");
    let new = format!("{SPEC}  packages: {{utils: [nano, less]}}\n");
    let files = in_memory(&[("specs/edge.yaml", &old)]);
    let catalog = catalog::load(&files).unwrap();
    let lock = answer(&catalog.images.values().next().unwrap().spec);
    let text = catalog::lock_text(&lock);
    let said = |spec: &str| checked(&[("specs/edge.yaml", spec), ("specs/edge.lock.yaml", &text)]).problems;
    assert!(said(&old).is_empty());
    let problems = said(&new);
    assert_eq!(problems.len(), 2, "{problems:#?}");
    let pin = problems.iter().find(|p| p.message.contains("htop")).unwrap();
    assert_eq!(pin.message, "nothing reads this pin: layer utils no longer asks for htop");
    let line = text.lines().nth(pin.line.unwrap() as usize - 1).unwrap();
    assert_eq!(&line[pin.column.unwrap() as usize - 1..][..4], "htop");
    assert!(pin.suggestion.as_ref().unwrap().contains("bootwright lock edge"));
    assert!(problems.iter().any(|p| p.message.contains("no answer for less")), "{problems:#?}");
    let whole_layer = said(SPEC);
    assert_eq!(whole_layer.len(), 2, "{whole_layer:#?}");
    assert!(whole_layer.iter().all(|p| p.message.contains("nothing reads this pin")), "{whole_layer:#?}");
    let suite = said(&old.replace("bookworm", "trixie"));
    assert!(suite.iter().any(|p| p.message.contains("the suite is trixie, was bookworm")), "{suite:#?}");
}

/// A lock that is out of date is what `bootwright lock` is for: it reads the catalog all the same.
#[test]
fn a_stale_lock_does_not_keep_a_catalog_from_being_read() {
    let old = loaded(&[("specs/edge.yaml", SPEC)]);
    let text = catalog::lock_text(&answer(&old.images.values().next().unwrap().spec));
    let new = format!("{SPEC}  packages: {{utils: [nano]}}\n");
    let (catalog, found) =
        catalog::check(&in_memory(&[("specs/edge.yaml", &new), ("specs/edge.lock.yaml", &text)]));
    assert!(catalog.is_some() && found.iter().all(|d| d.severity != Severity::Error));
}
