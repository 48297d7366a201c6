//! One fuzzer for each parser of `targets.rs`; `BOOTWRIGHT_FUZZ` says which, and
//! `BOOTWRIGHT_FUZZ_CORPUS` the folder that its seeds are written to before it begins.
#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("BOOTWRIGHT_FUZZ").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => target,
        None => panic!("set BOOTWRIGHT_FUZZ to one of {}", names.join(" ")),
    }
});

/// Runs before libFuzzer reads its corpus.
fn write_seeds() {
    let Some(folder) = std::env::var_os("BOOTWRIGHT_FUZZ_CORPUS") else { return };
    for (number, seed) in TARGET.seeds.iter().enumerate() {
        let path = std::path::Path::new(&folder).join(format!("seed-{number}"));
        if let Err(error) = std::fs::write(&path, seed) {
            panic!("writing {}: {error}", path.display());
        }
    }
}

fuzz_target!(
    init: write_seeds(),
    |data: &[u8]| (TARGET.run)(data)
);
