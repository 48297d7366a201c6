//! Updates that the running system fetches and installs by itself.

use super::own::{OwnService, Run, schedule_needs};
use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::text::Timing;
use crate::model::spec::{Base, Family, OsSpec, UpdateScope};

const FIELD: &str = "spec.securityFeatures.updates";
const PROGRAM: &str = "/usr/lib/bootwright/updates";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    if spec.security_features.updates.is_none() {
        return;
    }
    if spec.base.family() == Family::Debian {
        needs.package(FIELD, "security", "unattended-upgrades");
    }
    needs.package(FIELD, "base", "ca-certificates");
    schedule_needs(spec, FIELD, needs);
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(updates) = &system.configuration.security_features.updates else { return };
    plan.file(&PROGRAM[1..], 0o755, include_str!("scripts/updates.sh"));
    let daily: Timing = "daily".parse().unwrap_or_else(|e| panic!("a word of the timing's own: {e}"));
    let mut command = format!("{PROGRAM} {} {}", manager(system.base), scope(system, updates.scope));
    if let Some(time) = &updates.reboot {
        command.push_str(&format!(" {time}"));
    }
    let service = OwnService {
        name: "bootwright-updates",
        what: "Updates of this system",
        command: command.clone(),
        user: None,
        environment: Vec::new(),
        only_if: None,
        run: Run::At(updates.schedule.as_ref().unwrap_or(&daily)),
    };
    service.add(FIELD, system, plan);
    if system.is_debian() {
        debian(system, updates.scope, plan);
    }
}

fn manager(base: Base) -> &'static str {
    match base.family() {
        Family::Debian => "apt",
        Family::Fedora => "dnf",
        Family::Opensuse => "zypper",
        Family::Arch => "pacman",
        Family::Alpine => "apk",
        Family::Void => "xbps",
        Family::Gentoo => "emerge",
    }
}

fn scope(system: &System<'_>, scope: UpdateScope) -> &'static str {
    match scope {
        UpdateScope::Security => "security",
        UpdateScope::All if system.base.family() == Family::Opensuse && system.suite == "tumbleweed" => {
            "rolling"
        }
        UpdateScope::All => "all",
    }
}

/// Which updates are taken, as unattended-upgrades reads it (its README.md, "Origins-Pattern").
/// Its own timers stay asleep: nothing sets `APT::Periodic`.
fn debian(system: &System<'_>, scope: UpdateScope, plan: &mut Plan) {
    let mut origins: Vec<&str> = system.base.about().security_origins.iter().map(String::as_str).collect();
    if scope == UpdateScope::All {
        origins.push("origin=${distro_id},codename=${distro_codename}");
        origins.push("origin=${distro_id},codename=${distro_codename}-updates");
        origins.push("origin=${distro_id},archive=${distro_codename}-updates");
    }
    let origins: String = origins.iter().map(|origin| format!("  \"{origin}\";\n")).collect();
    let path = "etc/apt/apt.conf.d/90bootwright-updates";
    plan.file(
        path,
        0o644,
        format!(
            "#clear Unattended-Upgrade::Allowed-Origins;\n#clear Unattended-Upgrade::Origins-Pattern;\n\
             Unattended-Upgrade::Origins-Pattern {{\n{origins}}};\n\
             Unattended-Upgrade::Automatic-Reboot \"false\";\n"
        ),
    );
    let argv = ["/usr/bin/apt-config", "dump", "Unattended-Upgrade::Origins-Pattern"];
    plan.test(Program::new("reading apt's configuration", argv[0], &argv[1..]));
    let argv = argv.map(str::to_owned).to_vec();
    plan.check(&format!("{FIELD}.scope"), Expect::Output { argv, contains: "-security".to_owned() });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{needed, planned};
    use crate::effects::{Cancel, Process};
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn every_distribution_has_its_own_way_at_its_time() {
        let fields = json!({"securityFeatures": {"updates":
            {"scope": "all", "schedule": "30 2 * * 0", "reboot": "04:00"}}});
        for (base, init, command) in [
            (Base::DEBIAN, None, "apt all 04:00"),
            (Base::FEDORA, None, "dnf all 04:00"),
            (Base::ARCH, None, "pacman all 04:00"),
            (Base::ALPINE, None, "apk all 04:00"),
            (Base::VOID, Some(Init::Runit), "xbps all 04:00"),
            (Base::GENTOO, Some(Init::Openrc), "emerge all 04:00"),
        ] {
            let plan = planned(base, init, &fields, &[]);
            let systemd = plan.text("etc/systemd/system/bootwright-updates.service");
            let text = systemd.or_else(|| plan.text("etc/cron.d/bootwright-updates"));
            let text = text.unwrap_or_else(|| panic!("{base:?}"));
            assert!(text.contains(&format!("/usr/lib/bootwright/updates {command}\n")), "{base:?}: {text}");
            assert!(plan.checks.iter().any(|c| c.field == "spec.securityFeatures.updates"), "{base:?}");
        }
        let names: Vec<String> = needed(Base::DEBIAN, &fields).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["unattended-upgrades", "ca-certificates"]);
        let names: Vec<String> = needed(Base::ALPINE, &fields).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["ca-certificates", "cron"]);
    }

    #[test]
    fn apt_reads_its_file_and_takes_security_alone_when_asked() {
        let fields = json!({"securityFeatures": {"updates": {}}});
        let plan = planned(Base::DEBIAN, None, &fields, &["unattended-upgrades"]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("apt.conf");
        std::fs::write(&file, plan.text("etc/apt/apt.conf.d/90bootwright-updates").unwrap()).unwrap();
        let dump = |file: &std::path::Path| {
            Process::new("apt-config")
                .args(["dump", "Unattended-Upgrade::Origins-Pattern", "-c"])
                .arg(file)
                .run(&Cancel::default())
                .unwrap()
        };
        let output = dump(&file);
        assert!(output.status.success(), "{}", output.tail());
        let text = output.text();
        assert!(text.contains("-security,label=Debian-Security") && !text.contains("-updates"), "{text}");
        std::fs::write(&file, "Unattended-Upgrade::Origins-Pattern { \"x;\n").unwrap();
        assert!(!dump(&file).status.success(), "apt-config takes anything");
    }
}
