//! Mandatory access control: AppArmor and SELinux.

use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Family, Mac, OsSpec, Output};

fn field(index: usize) -> String {
    format!("spec.securityFeatures.mac[{index}]")
}

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for (index, mac) in spec.security_features.mac.iter().enumerate() {
        needs.package(&field(index), "security", mac.as_str());
        words(*mac).iter().for_each(|word| needs.kernel_flag(word));
        if *mac == Mac::Selinux {
            let more: &[&str] = match spec.base.family() {
                Family::Debian => &["selinux-policy-default", "policycoreutils"],
                Family::Fedora | Family::Opensuse => &["selinux-policy-targeted", "policycoreutils"],
                _ => &[],
            };
            more.iter().for_each(|name| needs.package(&field(index), "security", name));
        }
    }
}

/// One guard is in charge (`Documentation/admin-guide/LSM`); these words name it, whatever the
/// kernel was built to begin with.
fn words(mac: Mac) -> [&'static str; 2] {
    match mac {
        Mac::Apparmor => ["apparmor=1", "security=apparmor"],
        Mac::Selinux => ["selinux=1", "security=selinux"],
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    for (index, mac) in system.configuration.security_features.mac.iter().enumerate() {
        let field = field(index);
        if system.outputs.contains(&Output::Iso) {
            for word in words(*mac) {
                plan.check(&field, Expect::KernelFlag { word: word.to_owned() });
            }
        }
        match mac {
            Mac::Apparmor => apparmor(system, &field, plan),
            Mac::Selinux => selinux(system, &field, plan),
        }
    }
}

/// Loads what packages brought, each profile as it says itself: nothing is set to complain.
fn apparmor(system: &System<'_>, field: &str, plan: &mut Plan) {
    plan.file("etc/apparmor.d/bootwright.ping", 0o644, PING);
    // Into no kernel and no cache: whether every profile can be read.
    plan.test(Program::new(
        "reading the AppArmor profiles",
        "/sbin/apparmor_parser",
        &["--skip-kernel-load", "--skip-cache", "--quiet", "/etc/apparmor.d"],
    ));
    if system.is_debian() && system.outputs.contains(&Output::Iso) {
        plan.file("etc/systemd/system/apparmor.service.d/10-live.conf", 0o644, LIVE);
    }
    plan.on.extend(system.service("apparmor"));
    let line = |path: &str, line: &str| Expect::Line { path: path.to_owned(), line: line.to_owned() };
    plan.check(field, line("/sys/module/apparmor/parameters/enabled", "Y"));
    plan.check(field, line("/sys/kernel/security/apparmor/profiles", "bootwright-ping (enforce)"));
}

/// Every system has a ping, and it has rights that others want: what a hole in it would give
/// away is held to the little that it needs.
const PING: &str = "abi <abi/3.0>,\n\ninclude <tunables/global>\n\n\
     profile bootwright-ping /{usr/,}bin/{,iputils-}ping {\n  include <abstractions/base>\n  \
     include <abstractions/nameservice>\n\n  capability net_raw,\n  capability setuid,\n  \
     network inet raw,\n  network inet6 raw,\n  network inet dgram,\n  network inet6 dgram,\n\n  \
     /{usr/,}bin/{,iputils-}ping mr,\n}\n";

/// Debian leaves AppArmor out of live systems, for overlays of kernels that are long gone.
const LIVE: &str = "[Unit]\n# Emptied first: then all conditions are gone, and this one is put back.\n\
     ConditionPathExists=\nConditionSecurity=apparmor\n";

/// Labels need files that can carry them: they are given at the first start of a disk.
fn selinux(system: &System<'_>, field: &str, plan: &mut Plan) {
    let policy = if system.is_debian() { "default" } else { "targeted" };
    let text = format!("SELINUX=enforcing\nSELINUXTYPE={policy}\n");
    plan.file("etc/selinux/config", 0o644, text);
    plan.file(".autorelabel", 0o644, "");
    plan.check(
        field,
        Expect::Line { path: "/etc/selinux/config".to_owned(), line: "SELINUX=enforcing".to_owned() },
    );
    plan.check(
        field,
        Expect::Output { argv: vec!["/usr/sbin/getenforce".to_owned()], contains: "Enforcing".to_owned() },
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, needed, planned};
    use crate::model::spec::Base;
    use serde_json::json;

    #[test]
    fn each_guard_has_its_words_packages_and_files() {
        let fields = json!({"outputs": ["iso"], "securityFeatures": {"mac": ["apparmor"]}});
        let plan = planned(Base::DEBIAN, None, &fields, &["apparmor"]);
        assert!(plan.text("etc/apparmor.d/bootwright.ping").is_some());
        assert!(plan.on.contains("apparmor.service"), "{:?}", plan.on);
        let words = super::super::needs(&image(Base::DEBIAN, None, &fields).spec).kernel_flags;
        assert_eq!(words, ["apparmor=1", "security=apparmor"]);
        let fields = json!({"outputs": ["rootfs"], "securityFeatures": {"mac": ["selinux"]}});
        let fedora = planned(Base::FEDORA, None, &fields, &["selinux-policy"]);
        assert!(fedora.text("etc/selinux/config").unwrap().contains("SELINUXTYPE=targeted"));
        let names: Vec<String> = needed(Base::DEBIAN, &fields).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["selinux", "selinux-policy-default", "policycoreutils"]);
    }
}
