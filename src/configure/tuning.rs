//! How the running system is tuned: kernel settings, the processor's speed, the order in which
//! disks are asked, open files.

use super::sysctl::{self, Setting};
use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{CpuGovernor, Init, IoScheduler, OsSpec, Output};

const FIELD: &str = "spec.postInstall.systemTuning";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let tuning = spec.post_install.system_tuning.as_ref();
    if let Some(governor) = tuning.and_then(|t| t.cpu_governor) {
        needs.kernel_flag(&governor_word(governor));
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(tuning) = &system.configuration.tuning else { return };
    let mut settings = Vec::new();
    if let Some(value) = tuning.swappiness {
        let (field, key) = (format!("{FIELD}.swappiness"), "vm.swappiness".to_owned());
        settings.push(Setting { field, key, value: value.to_string() });
    }
    for (index, sysctl) in tuning.sysctl.iter().enumerate() {
        settings.push(Setting {
            field: format!("{FIELD}.sysctl[{index}]"),
            key: sysctl.key.to_string(),
            value: sysctl.value.to_string(),
        });
    }
    sysctl::file(system, "etc/sysctl.d/99-zz-tuning.conf", settings, plan);
    if let Some(governor) = tuning.cpu_governor {
        speed(system, governor, plan);
    }
    if let Some(scheduler) = tuning.io_scheduler {
        let (path, rule) = ("etc/udev/rules.d/60-bootwright-scheduler.rules", disks(scheduler));
        plan.check(
            &format!("{FIELD}.ioScheduler"),
            Expect::Line { path: format!("/{path}"), line: rule.clone() },
        );
        plan.file(path, 0o644, format!("# Disks, not what lies on them or only looks like one.\n{rule}\n"));
    }
    if let Some(files) = tuning.open_files {
        open_files(system, files, plan);
    }
}

fn governor_word(governor: CpuGovernor) -> String {
    format!("cpufreq.default_governor={}", governor_name(governor))
}

fn governor_name(governor: CpuGovernor) -> &'static str {
    match governor {
        CpuGovernor::Performance => "performance",
        CpuGovernor::Powersave => "powersave",
        CpuGovernor::Schedutil => "schedutil",
        CpuGovernor::Ondemand => "ondemand",
        CpuGovernor::Conservative => "conservative",
    }
}

/// The word on the command line is for drivers that come with the kernel and for those that come
/// later; the rule is for disks that are started by a boot loader of somebody else.
fn speed(system: &System<'_>, governor: CpuGovernor, plan: &mut Plan) {
    let rule = format!(
        "ACTION==\"add|change\", SUBSYSTEM==\"cpu\", TEST==\"cpufreq/scaling_governor\", \
         ATTR{{cpufreq/scaling_governor}}=\"{}\"",
        governor_name(governor)
    );
    let (path, field) = ("etc/udev/rules.d/60-bootwright-governor.rules", format!("{FIELD}.cpuGovernor"));
    plan.file(path, 0o644, format!("{rule}\n"));
    plan.check(&field, Expect::Line { path: format!("/{path}"), line: rule });
    if system.outputs.contains(&Output::Iso) {
        plan.check(&field, Expect::KernelFlag { word: governor_word(governor) });
    }
}

/// Writing the name loads the module of a scheduler that is one.
fn disks(scheduler: IoScheduler) -> String {
    let name = match scheduler {
        IoScheduler::None => "none",
        IoScheduler::MqDeadline => "mq-deadline",
        IoScheduler::Bfq => "bfq",
        IoScheduler::Kyber => "kyber",
    };
    format!(
        "ACTION==\"add|change\", SUBSYSTEM==\"block\", ENV{{DEVTYPE}}==\"disk\", \
         KERNEL!=\"loop*|ram*|zram*|sr*|dm-*|md*\", TEST==\"queue/scheduler\", \
         ATTR{{queue/scheduler}}=\"{name}\""
    )
}

/// For logins by PAM (man limits.conf), and for what the init system starts. `*` does not mean root.
fn open_files(system: &System<'_>, files: u32, plan: &mut Plan) {
    let field = format!("{FIELD}.openFiles");
    let text: String =
        ["*", "root"].map(|who| format!("{who} soft nofile {files}\n{who} hard nofile {files}\n")).concat();
    let path = "etc/security/limits.d/90-bootwright.conf";
    plan.file(path, 0o644, text);
    let line = format!("* hard nofile {files}");
    plan.check(&field, Expect::Line { path: format!("/{path}"), line });
    if system.init() == Init::Systemd {
        let limit = format!("[Manager]\nDefaultLimitNOFILE={files}\n");
        for kind in ["system", "user"] {
            plan.file(&format!("etc/systemd/{kind}.conf.d/90-bootwright.conf"), 0o644, limit.clone());
        }
        let argv = ["/bin/systemctl", "show", "--property=DefaultLimitNOFILE"].map(str::to_owned).to_vec();
        plan.check(&field, Expect::Output { argv, contains: format!("DefaultLimitNOFILE={files}") });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{image, planned};
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn each_field_is_written_and_checked() {
        let fields = json!({"outputs": ["iso"], "postInstall": {"systemTuning": {
            "swappiness": 10, "cpuGovernor": "performance", "ioScheduler": "mq-deadline", "openFiles": 65536,
            "sysctl": [{"key": "net.core.somaxconn", "value": "4096"}]}}});
        let plan = planned(Base::DEBIAN, None, &fields, &[]);
        let sysctl = plan.text("etc/sysctl.d/99-zz-tuning.conf").unwrap();
        assert_eq!(sysctl, "vm.swappiness = 10\nnet.core.somaxconn = 4096\n");
        let text = |path: &str| plan.text(path).unwrap_or_else(|| panic!("{path}")).to_owned();
        assert!(text("etc/udev/rules.d/60-bootwright-scheduler.rules").ends_with("=\"mq-deadline\"\n"));
        assert!(text("etc/security/limits.d/90-bootwright.conf").contains("root hard nofile 65536\n"));
        assert!(text("etc/systemd/user.conf.d/90-bootwright.conf").contains("NOFILE=65536"));
        for field in ["swappiness", "cpuGovernor", "ioScheduler", "openFiles", "sysctl[0]"] {
            let field = format!("spec.postInstall.systemTuning.{field}");
            assert!(plan.checks.iter().any(|c| c.field == field), "{field}");
        }
        let words = super::super::needs(&image(Base::DEBIAN, None, &fields).spec).kernel_flags;
        assert_eq!(words, ["cpufreq.default_governor=performance"]);
        let void = planned(Base::VOID, Some(Init::Runit), &fields, &[]);
        assert!(void.text("etc/systemd/system.conf.d/90-bootwright.conf").is_none());
        let alpine = planned(Base::ALPINE, None, &fields, &[]);
        assert!(alpine.on.contains("sysctl"), "{:?}", alpine.on);
    }
}
