//! What comes out when parts are laid over one another.

use super::{image, loaded, profile};
use crate::catalog::SPEC;

/// A profile's spec, the image's own lines, and the same written in one piece.
const ONE: [(&str, &str, &str); 30] = [
    // Single values: the upper one counts.
    ("  channel: stable\n", "", "  channel: stable\n"),
    ("  channel: stable\n", "  channel: edge\n", "  channel: edge\n"),
    ("  paused: true\n", "  paused: false\n", "  paused: false\n"),
    ("  limits: {isoSize: 2GiB}\n", "  limits: {isoSize: 1GiB}\n", "  limits: {isoSize: 1GiB}\n"),
    // Mappings are merged, however deep.
    (
        "  limits: {isoSize: 2GiB}\n",
        "  limits: {ociSize: 1GiB}\n  outputs: [iso, oci]\n",
        "  outputs: [iso, oci]\n  limits: {isoSize: 2GiB, ociSize: 1GiB}\n",
    ),
    (
        "  customization: {bootloader: {title: A, timeout: 5}}\n",
        "  customization: {bootloader: {title: B}}\n",
        "  customization: {bootloader: {title: B, timeout: 5}}\n",
    ),
    (
        "  kernel: {modules: {enable: [loop]}}\n",
        "  kernel: {modules: {disable: [usb-storage]}}\n",
        "  kernel: {modules: {enable: [loop], disable: [usb-storage]}}\n",
    ),
    (
        "  securityFeatures: {firewall: {policy: deny}}\n",
        "  securityFeatures: {ssh: {port: 2222}}\n",
        "  securityFeatures: {firewall: {policy: deny}, ssh: {port: 2222}}\n",
    ),
    (
        "  verify: {dwellSeconds: 9}\n",
        "  verify: {ports: [22]}\n",
        "  verify: {dwellSeconds: 9, ports: [22]}\n",
    ),
    ("  defaults: {hostname: a}\n", "  defaults: {}\n", "  defaults: {hostname: a}\n"),
    // Lists are replaced.
    ("  packages: {utils: [nano, less]}\n", "  packages: {utils: [vim]}\n", "  packages: {utils: [vim]}\n"),
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {servers: [nginx]}\n",
        "  packages: {utils: [nano], servers: [nginx]}\n",
    ),
    ("  packages: {utils: [nano]}\n", "  packages: {utils: []}\n", ""),
    ("  outputs: [oci]\n", "  outputs: [iso]\n", ""),
    (
        "  kernel: {customFlags: [quiet]}\n",
        "  kernel: {customFlags: [debug]}\n",
        "  kernel: {customFlags: [debug]}\n",
    ),
    // Unless they are changed.
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {utils: {add: [less, vim]}}\n",
        "  packages: {utils: [nano, less, vim]}\n",
    ),
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {utils: {prepend: [less, vim]}}\n",
        "  packages: {utils: [less, vim, nano]}\n",
    ),
    (
        "  packages: {utils: [nano, less, vim]}\n",
        "  packages: {utils: {remove: [less]}}\n",
        "  packages: {utils: [nano, vim]}\n",
    ),
    (
        "  packages: {utils: [nano, less]}\n",
        "  packages: {utils: {add: [vim], remove: [nano], prepend: [tree]}}\n",
        "  packages: {utils: [tree, less, vim]}\n",
    ),
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {utils: {add: [nano, less]}}\n",
        "  packages: {utils: [nano, less]}\n",
    ),
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {utils: {remove: [nano], add: [nano]}}\n",
        "  packages: {utils: [nano]}\n",
    ),
    (
        "  packages: {utils: [nano]}\n",
        "  packages: {servers: {add: [nginx]}}\n",
        "  packages: {utils: [nano], servers: [nginx]}\n",
    ),
    ("  channel: edge\n", "  outputs: {add: [oci]}\n", "  outputs: [iso, oci]\n"),
    ("  channel: edge\n", "  verify: {boot: {remove: [bios]}}\n", "  verify: {boot: [uefi]}\n"),
    (
        "  defaults: {users: [{name: ada, sudo: true, groups: [video]}, {name: bob}]}\n",
        "  defaults: {users: {remove: [{name: ada}], add: [{name: eve}]}}\n",
        "  defaults: {users: [{name: bob}, {name: eve}]}\n",
    ),
    (
        "  securityFeatures: {firewall: {rules: [{action: allow, port: 22}]}}\n",
        "  securityFeatures: {firewall: {rules: {prepend: [{action: deny, port: 22, source: 10.0.0.0/8}]}}}\n",
        "  securityFeatures: {firewall: {rules: [{action: deny, port: 22, source: 10.0.0.0/8}, {action: allow, port: 22}]}}\n",
    ),
    // `null` takes away.
    (
        "  securityFeatures: {firewall: {policy: deny}, ssh: {port: 2}}\n",
        "  securityFeatures: {ssh: null}\n",
        "  securityFeatures: {firewall: {policy: deny}}\n",
    ),
    ("  limits: {isoSize: 2GiB}\n  channel: stable\n", "  limits: null\n", "  channel: stable\n"),
    ("  packages: {utils: [nano]}\n", "  packages: {utils: ~}\n", ""),
    (
        "  defaults: {hostname: a, locale: de_DE.UTF-8}\n",
        "  defaults:\n    locale:\n",
        "  defaults: {hostname: a}\n",
    ),
];

#[test]
fn an_image_over_a_profile() {
    for (below, own, expected) in ONE {
        let profile = profile("a", &format!("spec:\n{below}"));
        let catalog =
            [("profiles/a.yaml", profile.as_str()), ("specs/edge.yaml", &image("profiles/a.yaml", own))];
        let whole = loaded(&[("specs/edge.yaml", &format!("{SPEC}{expected}"))]);
        assert_eq!(loaded(&catalog), whole, "{below}{own}");
    }
}

/// Files, the image's includes and lines, and the same written in one piece.
#[test]
fn the_order_of_many() {
    let utils = |list: &str| format!("spec:\n  packages: {{utils: {list}}}\n");
    let a = profile("a", &utils("[nano]"));
    let b = profile("b", &utils("{add: [less]}"));
    let c = profile("c", &format!("include: [profiles/a.yaml]\n{}", utils("{add: [vim]}")));
    let d = profile("d", &format!("include: [./a.yaml, ../profiles/b.yaml]\n{}", utils("{remove: [nano]}")));
    let cases = [
        ("profiles/a.yaml, profiles/b.yaml", "", "[nano, less]"),
        // A list in a later file replaces what came before it.
        ("profiles/b.yaml, profiles/a.yaml", "", "[nano]"),
        ("profiles/c.yaml", "", "[nano, vim]"),
        // What two files share counts once, where it came first.
        ("profiles/a.yaml, profiles/c.yaml", "", "[nano, vim]"),
        ("profiles/c.yaml, profiles/a.yaml", "", "[nano, vim]"),
        ("profiles/c.yaml, profiles/b.yaml", "", "[nano, vim, less]"),
        ("profiles/b.yaml, profiles/c.yaml", "", "[nano, vim]"),
        ("profiles/d.yaml", "", "[less]"),
        ("profiles/c.yaml, profiles/d.yaml", "", "[vim, less]"),
        ("profiles/d.yaml, profiles/c.yaml", "  packages: {utils: {add: [tree]}}\n", "[less, vim, tree]"),
        ("profiles/d.yaml", "  packages: {utils: [git]}\n", "[git]"),
    ];
    for (include, own, expected) in cases {
        let image = image(include, own);
        let all = [
            ("profiles/a.yaml", &a),
            ("profiles/b.yaml", &b),
            ("profiles/c.yaml", &c),
            ("profiles/d.yaml", &d),
        ];
        // A file that nothing reads is an error.
        let read = |path: &str| {
            include.contains(path)
                || (path.ends_with("a.yaml") && !include.eq("profiles/b.yaml"))
                || (path.ends_with("b.yaml") && include.contains("d.yaml"))
        };
        let mut files: Vec<(&str, &str)> =
            all.iter().filter(|(path, _)| read(path)).map(|(path, text)| (*path, text.as_str())).collect();
        files.push(("specs/edge.yaml", &image));
        let whole = loaded(&[("specs/edge.yaml", &format!("{SPEC}  packages: {{utils: {expected}}}\n"))]);
        assert_eq!(loaded(&files), whole, "{include}: {own}");
    }
}

#[test]
fn an_image_gives_its_spec_and_not_its_name() {
    let lab = SPEC.replace("name: edge", "name: lab\n  labels: {of: lab}\n  description: A lab")
        + "  channel: stable\n";
    let edge = "apiVersion: bootwright/v1\nkind: OsImage\ninclude: [./lab.yaml]\nmetadata: {name: edge}\n";
    let whole = loaded(&[("specs/edge.yaml", &format!("{SPEC}  channel: stable\n"))]);
    assert_eq!(loaded(&[("specs/lab.yaml", &lab), ("specs/edge.yaml", edge)]), whole);
}

#[test]
fn the_installers_own_form() {
    let text = "profile: edge-iot\nservices:\n  - nginx\n  - mcp\n";
    let image = image(
        "profiles/edge-iot.yaml",
        "  packages: {servers: [nginx]}\n  services: {enable: {add: [cron]}}\n",
    );
    let found = loaded(&[("profiles/edge-iot.yaml", text), ("specs/edge.yaml", &image)]);
    let units: Vec<String> = found.spec.services.enable.iter().map(|unit| unit.full()).collect();
    assert_eq!(units, ["nginx.service", "mcp.service", "cron.service"]);
}

#[test]
fn a_level_lies_below_everything() {
    let level =
        |own: &str| loaded(&[("specs/edge.yaml", &format!("{SPEC}  securityLevel: minimal\n{own}"))]).spec;
    let firewall = level("").security_features.firewall.unwrap();
    assert_eq!(serde_json::to_value(&firewall).unwrap()["policy"], "deny");
    let own = level("  securityFeatures: {firewall: {policy: allow, rules: [{action: deny, port: 23}]}}\n");
    assert_eq!(serde_json::to_value(own.security_features.firewall).unwrap()["policy"], "allow");
    assert_eq!(level("  securityFeatures: {firewall: null}\n").security_features.firewall, None);
    assert_eq!(level("  securityFeatures: null\n").security_features.firewall, None);
    // Also if a profile asks for it; and the image can go back.
    let asks = profile("a", "spec: {securityLevel: minimal}\n");
    let with = |own: &str| {
        loaded(&[("profiles/a.yaml", &asks), ("specs/edge.yaml", &image("profiles/a.yaml", own))]).spec
    };
    assert!(with("").security_features.firewall.is_some());
    assert!(with("  securityLevel: null\n").security_features.firewall.is_none());
}

#[test]
fn a_profile_for_some_distributions() {
    let text = profile("a", "bases: [debian, ubuntu]\nspec: {channel: stable}\n");
    let found = loaded(&[("profiles/a.yaml", &text), ("specs/edge.yaml", &image("profiles/a.yaml", ""))]);
    assert_eq!(found.spec.channel.as_str(), "stable");
}
