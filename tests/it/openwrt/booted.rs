//! Firmware that a virtual machine starts: what is wrong with it is found by asking it.

use super::bootable::bootable;
use super::fixture::World;
use super::released::{change, manifest, only_cellar, world};
use serde_json::Value;
use std::fs;

/// The failure of the only device, and its evidence.
fn refused(world: &World) -> (String, String) {
    let said = world.run(&["reconcile"]);
    let report: Value = serde_json::from_slice(&said.0.stdout).unwrap();
    let failure = &report["failed"][0]["failure"];
    assert_eq!(failure["class"], "verify", "{}", said.words());
    assert!(!world.catalog().join("releases/cellar-router").exists());
    let kept = world.cache().join("refused/cellar-router/root/record.json");
    (failure["message"].as_str().unwrap().to_owned(), fs::read_to_string(kept).unwrap())
}

/// The boots of the release, and how they ended.
fn boots(world: &World) -> Vec<String> {
    let manifest = manifest(world, "cellar-router");
    let checks =
        manifest["verification"].as_array().unwrap().iter().flat_map(|e| e["checks"].as_array().unwrap());
    let boots = checks.filter(|check| check["boot"] != Value::Null);
    boots
        .map(|b| format!("{} {}", b["name"].as_str().unwrap(), b["verdict"]["verdict"].as_str().unwrap()))
        .collect()
}

#[test]
fn boot_a_system_of_another_release_and_with_a_broken_first_boot_is_refused() {
    let world = world();
    only_cellar(&world);
    fs::write(world.catalog().join("specs/scripts/cellar-router.sh"), "uci commit\nexit 1\n").unwrap();
    bootable(&world, "24.10.5", "x86/64", &|root| {
        let path = root.join("etc/openwrt_release");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("24.10.5", "23.05.5")).unwrap();
    });
    let (message, record) = refused(&world);
    for words in [
        "boot-uefi: it says that its DISTRIB_RELEASE is \"23.05.5\", \"24.10.5\" was built",
        "the first-boot script 99-bootwright ended with an error",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(record.contains("squashfs-combined-efi/serial.log"), "{record}");
}

#[test]
fn boot_a_kernel_that_panics_is_told_of_in_its_words() {
    let world = world();
    only_cellar(&world);
    bootable(&world, "24.10.5", "x86/64", &|root| {
        let path = root.join("etc/init.d/rcS");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}echo c > /proc/sysrq-trigger\n")).unwrap();
    });
    let (message, _) = refused(&world);
    assert!(message.contains("boot-uefi: the kernel panicked: "), "{message}");
}

#[test]
fn boot_an_arm_router_comes_up_by_uefi() {
    let world = world();
    only_cellar(&world);
    change(
        &world,
        "specs/cellar-router.yaml",
        "target: x86\n  subtarget: 64",
        "target: armsr\n  subtarget: armv8",
    );
    world.release("24.10.5", "armsr/armv8", "zst");
    bootable(&world, "24.10.5", "armsr/armv8", &|_| {});
    let report = world.run(&["reconcile"]).report();
    assert_eq!(report["failed"], serde_json::json!([]), "{report}");
    let shown = boots(&world);
    assert_eq!(shown, ["boot-uefi passed"]);
}
