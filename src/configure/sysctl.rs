//! Files of kernel settings (man sysctl.d), with a check for each setting.

use super::{Plan, System};
use crate::model::check::Expect;
use crate::model::spec::Init;

/// A kernel setting and the field that asks for it.
pub(super) struct Setting {
    pub field: String,
    pub key: String,
    pub value: String,
}

/// Writes settings into a file of `/etc/sysctl.d`; nothing where there are none.
pub(super) fn file(system: &System<'_>, path: &str, settings: Vec<Setting>, plan: &mut Plan) {
    if settings.is_empty() {
        return;
    }
    let text: String = settings.iter().map(|s| format!("{} = {}\n", s.key, s.value)).collect();
    plan.file(path, 0o644, text);
    // Debian's script is switched on by its package.
    if system.init() == Init::Openrc && !system.is_debian() {
        plan.start("sysctl");
    }
    // A pattern is no one setting.
    for Setting { field, key, value } in settings.into_iter().filter(|s| !s.key.contains('*')) {
        plan.check(&field, Expect::Sysctl { key, value });
    }
}
