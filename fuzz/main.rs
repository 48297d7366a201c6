//! One fuzzer for each parser of `targets.rs`; `BOOTWRIGHT_FUZZ` says which.
#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("BOOTWRIGHT_FUZZ").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => {
            // Without a corpus, the seeds are where it begins.
            target.seeds.iter().for_each(|seed| (target.run)(seed));
            target
        }
        None => panic!("set BOOTWRIGHT_FUZZ to one of {}", names.join(" ")),
    }
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));
