//! Card writers and flash orders: what is wrong is said with its place and the nearest right name.

use super::{SPEC, found, in_memory};
use bootwright::catalog::{self, Severity, diagnostic};
use bootwright::model::writer::Repeat;

const WRITER: &str = "apiVersion: bootwright/v1
kind: CardWriter
metadata: {name: bench-1}
spec:
  publicKey: ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
  slots:
    - {name: left, path: /dev/disk/by-path/pci-0000:00:14.0-usb-0:1}
    - name: right
      path: /dev/disk/by-path/pci-0000:00:14.0-usb-0:2
      images: [edge]
      architectures: [aarch64]
      boards: [\"raspberrypi,4\"]
      maxSize: 4GiB
";

const ORDER: &str = "apiVersion: bootwright/v1
kind: FlashOrder
metadata: {name: lab}
spec:
  repeat: every-card
  cards:
    - {image: edge, channel: stable, writer: bench-1, slot: left}
";

fn of(runners: &str) -> Vec<catalog::Diagnostic> {
    found(&[("specs/edge.yaml", SPEC), ("runners/lab.yaml", runners)])
}

#[test]
fn writers_and_orders_are_read() {
    let both = format!("{ORDER}---\n{WRITER}");
    let catalog =
        catalog::load(&in_memory(&[("specs/edge.yaml", SPEC), ("runners/lab.yaml", &both)])).unwrap();
    let writer = &catalog.writers[&"bench-1".parse().unwrap()];
    assert_eq!(writer.spec.slots.len(), 2);
    assert_eq!(writer.spec.slots[1].boards[0].as_str(), "raspberrypi,4");
    let order = &catalog.orders[&"lab".parse().unwrap()];
    assert_eq!((order.spec.repeat, order.spec.cards.len()), (Repeat::EveryCard, 1));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let writer = |from: &str, to: &str| WRITER.replacen(from, to, 1);
    let order = |from: &str, to: &str| format!("{WRITER}---\n{}", ORDER.replacen(from, to, 1));
    let second = ORDER.replace("name: lab", "name: more");
    for (runners, line, message, hint) in [
        (writer("kind: CardWriter", "kind: CardWritr"), 2, "there is no kind", "Did you mean CardWriter?"),
        (writer("publicKey", "publickey"), 5, "unknown field", "publicKey"),
        (writer("ed25519:11", "ed25519:"), 5, "not a valid key", ""),
        (writer("/dev/disk/by-path/pci-0000:00:14.0-usb-0:1", "/dev/sdb"), 7, "not a valid path", ""),
        (writer("usb-0:2", "usb-0:1"), 9, "slot left is at this port already", ""),
        (writer("name: right", "name: left"), 8, "two slots with the name left", ""),
        (writer("architectures: [aarch64]", "architectures: [arm64]"), 11, "`arm64` is not a value", ""),
        (order("writer: bench-1", "writer: bench-2"), 21, "no card writer bench-2", "Did you mean bench-1?"),
        (order("slot: left", "slot: lift"), 21, "bench-1 has no slot lift", "Did you mean left?"),
        (order("image: edge", "image: edgy"), 21, "there is no image or device edgy", "Did you mean edge?"),
        (order("channel: stable, ", ""), 21, "nobody says which release", "channel"),
        (
            order("channel: stable", "channel: stable, version: 20261120-0123abcd"),
            21,
            "channel and version both",
            "",
        ),
        (order("slot: left", "slot: right"), 21, "does not carry x86_64", ""),
        (order("slot: left", "slot: left, architecture: aarch64"), 21, "is for x86_64", ""),
        (order("slot: left", "slot: right, board: other"), 21, "does not carry other", ""),
        (format!("{}---\n{second}", order("", "")), 29, "by the order lab", "one image"),
        (format!("{WRITER}---\n{WRITER}"), 17, "two card writers with the name bench-1", ""),
    ] {
        let found = of(&runners);
        let shown = diagnostic::render(&found, false);
        let fits = |d: &catalog::Diagnostic| {
            d.severity == Severity::Error
                && d.line == Some(line)
                && d.message.contains(message)
                && d.hint.as_ref().is_some_and(|said| said.contains(hint))
        };
        assert!(found.iter().any(fits), "line {line}, {message:?}, {hint:?}\n{runners}\n{shown}");
    }
}

#[test]
fn an_image_without_medium_goes_on_no_card() {
    let oci = format!("{SPEC}  outputs: [oci]\n");
    let runners = format!("{WRITER}---\n{ORDER}");
    let found = found(&[("specs/edge.yaml", &oci), ("runners/lab.yaml", &runners)]);
    assert!(found.iter().any(|d| d.message.contains("no output that goes on a card")), "{found:#?}");
}

#[test]
fn an_order_may_name_a_device_and_a_demand_may_name_an_architecture() {
    let device = "apiVersion: bootwright/v1
kind: DeviceProfile
metadata: {name: office-router}
spec:
  release: 24.10.5
  target: x86
  subtarget: 64
  profile: generic
";
    let order = ORDER.replacen("image: edge", "image: office-router", 1);
    let of = |order: &str| {
        let runners = format!("{WRITER}---\n{order}");
        found(&[("specs/edge.yaml", SPEC), ("specs/router.yaml", device), ("runners/lab.yaml", &runners)])
    };
    let errors = |order: &str| {
        let found = of(order);
        found
            .into_iter()
            .filter(|d| d.severity == Severity::Error && d.file.contains("runners"))
            .collect::<Vec<_>>()
    };
    assert!(errors(&order).is_empty(), "{:#?}", errors(&order));
    let near = errors(&order.replacen("office-router", "office-ruter", 1));
    assert!(near[0].hint.as_ref().unwrap().contains("office-router"), "{near:#?}");
    // Slot `right` is for another image; the boards alone may go together.
    let right = errors(&order.replacen("slot: left", "slot: right, board: aarch64", 1));
    assert!(right.iter().all(|d| !d.message.contains("does not carry aarch64")), "{right:#?}");
    assert!(right.iter().any(|d| d.message.contains("does not carry office-router")), "{right:#?}");
}

#[test]
fn kinds_stand_where_they_belong() {
    let found = found(&[("specs/edge.yaml", SPEC), ("specs/lab.yaml", WRITER)]);
    assert!(found.iter().any(|d| d.message.contains("do not belong here")), "{found:#?}");
    let found = of(&WRITER.replace("CardWriter", "Runner"));
    assert!(found.iter().any(|d| d.message.contains("not there yet")), "{found:#?}");
}
