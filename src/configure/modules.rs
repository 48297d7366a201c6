//! Kernel modules that are loaded at boot, and those that never are.

use super::{Plan, System};
use crate::model::check::Expect;

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let modules = &system.configuration.modules;
    if !modules.enable.is_empty() {
        plan.file("etc/modules-load.d/bootwright.conf", 0o644, modules.enable.join("\n") + "\n");
    }
    if !modules.disable.is_empty() {
        let text: String =
            modules.disable.iter().map(|m| format!("blacklist {m}\ninstall {m} /bin/false\n")).collect();
        plan.file("etc/modprobe.d/bootwright.conf", 0o644, text);
    }
    let all = [("enable", true, &modules.enable), ("disable", false, &modules.disable)];
    for (list, loaded, names) in all {
        for (index, name) in names.iter().enumerate() {
            let field = format!("spec.kernel.modules.{list}[{index}]");
            plan.check(&field, Expect::Module { name: name.clone(), loaded });
        }
    }
}
