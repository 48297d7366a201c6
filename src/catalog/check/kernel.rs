//! Kernel command line and modules.

use super::{Report, doubled};
use crate::model::spec::OsImage;

/// Words that the boot menu sets itself.
const TAKEN: [&str; 7] = ["boot=", "root=", "init=", "rdinit=", "initrd=", "BOOT_IMAGE=", "bootwright."];

pub fn check(report: &mut Report<'_>, image: &OsImage) {
    let kernel = &image.spec.kernel;
    doubled(report, "spec.kernel.customFlags", &kernel.custom_flags);
    for (index, flag) in kernel.custom_flags.iter().enumerate() {
        check_flag(report, &format!("spec.kernel.customFlags[{index}]"), flag);
    }
    for (list, modules) in [("enable", &kernel.modules.enable), ("disable", &kernel.modules.disable)] {
        let field = format!("spec.kernel.modules.{list}");
        doubled(report, &field, modules);
        for (index, module) in modules.iter().enumerate() {
            if !is_module(module) {
                report.error(
                    &format!("{field}[{index}]"),
                    format!("{module:?} is not the name of a kernel module"),
                    "Use letters, digits, _ and -; module options do not belong here.",
                );
            }
        }
    }
}

fn check_flag(report: &mut Report<'_>, field: &str, flag: &str) {
    let sane = !flag.is_empty()
        && flag.len() <= 256
        && !flag.starts_with('-')
        && flag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-=,:/+@%".contains(&b));
    if !sane {
        report.error(
            field,
            format!("{flag:?} is not one word of a kernel command line"),
            "Write each flag as its own list item, with letters, digits and . _ - = , : / + @ % only.",
        );
    } else if let Some(taken) = TAKEN.iter().find(|t| flag.starts_with(**t)) {
        report.conflict(field, format!("`{taken}` is set by the boot menu itself"), "Take this flag away.");
    }
}

fn is_module(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
