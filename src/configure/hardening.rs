//! What makes the kernel harder to attack: settings, and words of its command line
//! (`Documentation/admin-guide/sysctl`, `kernel-parameters.txt`).

use super::sysctl::{self, Setting};
use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::{KernelHardening, OsSpec, Output};

fn field(index: usize) -> String {
    format!("spec.securityFeatures.kernelHardening[{index}]")
}

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for hardening in &spec.security_features.kernel_hardening {
        words(*hardening).iter().for_each(|word| needs.kernel_flag(word));
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let mut all = Vec::new();
    for (index, hardening) in system.configuration.security_features.kernel_hardening.iter().enumerate() {
        let field = field(index);
        for (key, value) in settings(*hardening, system) {
            all.push(Setting { field: field.clone(), key: (*key).to_owned(), value: (*value).to_owned() });
        }
        // Only what we start ourselves has our words.
        if system.outputs.contains(&Output::Iso) {
            for word in words(*hardening) {
                plan.check(&field, Expect::KernelFlag { word: (*word).to_owned() });
            }
            if *hardening == KernelHardening::Lockdown {
                let argv = ["/bin/cat", "/sys/kernel/security/lockdown"].map(str::to_owned).to_vec();
                plan.check(&field, Expect::Output { argv, contains: "[confidentiality]".to_owned() });
            }
        }
    }
    // Debian's procps brings a `99-protect-links.conf`, which asks for less.
    sysctl::file(system, "etc/sysctl.d/99-zz-bootwright.conf", all, plan);
}

/// Words of the kernel command line.
fn words(hardening: KernelHardening) -> &'static [&'static str] {
    match hardening {
        KernelHardening::StackProtector => &["init_on_alloc=1", "init_on_free=1"],
        KernelHardening::Lockdown => &["lockdown=confidentiality"],
        _ => &[],
    }
}

/// The kernel's settings. They count for the machine that starts the kernel: in a container,
/// for its host.
fn settings(hardening: KernelHardening, system: &System<'_>) -> &'static [(&'static str, &'static str)] {
    match hardening {
        KernelHardening::Kaslr => &[("kernel.randomize_va_space", "2")],
        KernelHardening::RestrictDmesg => &[("kernel.dmesg_restrict", "1")],
        KernelHardening::RestrictKptr => &[("kernel.kptr_restrict", "2")],
        KernelHardening::RestrictPtrace => &[("kernel.yama.ptrace_scope", "2")],
        KernelHardening::RestrictBpf => {
            &[("kernel.unprivileged_bpf_disabled", "1"), ("net.core.bpf_jit_harden", "2")]
        }
        KernelHardening::RestrictPerf => &[("kernel.perf_event_paranoid", "3")],
        // A switch of Debian's and Ubuntu's kernels; the other one shuts out root too.
        KernelHardening::RestrictUserNamespaces if system.is_debian() => {
            &[("kernel.unprivileged_userns_clone", "0")]
        }
        KernelHardening::RestrictUserNamespaces => &[("user.max_user_namespaces", "0")],
        KernelHardening::DisableKexec => &[("kernel.kexec_load_disabled", "1")],
        KernelHardening::DisableSysrq => &[("kernel.sysrq", "0")],
        KernelHardening::DisableCoreDumps => {
            &[("fs.suid_dumpable", "0"), ("kernel.core_pattern", "|/bin/false")]
        }
        KernelHardening::ProtectLinks => &[
            ("fs.protected_symlinks", "1"),
            ("fs.protected_hardlinks", "1"),
            ("fs.protected_fifos", "2"),
            ("fs.protected_regular", "2"),
        ],
        // The larger of an interface's own value and that of `all` counts, and systemd gives
        // every interface a 2 of its own.
        KernelHardening::Network => &[
            ("net.ipv4.conf.*.rp_filter", "1"),
            ("net.ipv4.conf.all.rp_filter", "1"),
            ("net.ipv4.conf.default.rp_filter", "1"),
            ("net.ipv4.conf.all.accept_redirects", "0"),
            ("net.ipv6.conf.all.accept_redirects", "0"),
            ("net.ipv4.conf.all.send_redirects", "0"),
            ("net.ipv4.conf.all.accept_source_route", "0"),
            ("net.ipv4.tcp_syncookies", "1"),
        ],
        // The kernel's command line decides these.
        KernelHardening::StackProtector | KernelHardening::Lockdown => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use crate::model::check::Expect;
    use crate::model::spec::Base;
    use serde_json::json;

    const ALL: [&str; 14] = [
        "kaslr",
        "stack-protector",
        "restrict-dmesg",
        "restrict-kptr",
        "restrict-ptrace",
        "restrict-bpf",
        "restrict-perf",
        "restrict-user-namespaces",
        "disable-kexec",
        "disable-sysrq",
        "disable-core-dumps",
        "protect-links",
        "network",
        "lockdown",
    ];

    #[test]
    fn every_value_is_written_or_a_word_and_checked() {
        for base in [Base::DEBIAN, Base::FEDORA, Base::ALPINE] {
            for (at, value) in ALL.iter().enumerate() {
                let fields = json!({"outputs": ["iso"], "securityFeatures": {"kernelHardening": [value]}});
                let plan = planned(base, None, &fields, &[]);
                let words = ["stack-protector", "lockdown"].contains(value);
                let text = plan.text("etc/sysctl.d/99-zz-bootwright.conf");
                assert_eq!(text.is_none(), words, "{value}: {text:?}");
                let checked =
                    plan.checks.iter().filter(|c| c.field == "spec.securityFeatures.kernelHardening[0]");
                let kinds: Vec<bool> = checked.map(|c| matches!(c.expect, Expect::Sysctl { .. })).collect();
                assert!(!kinds.is_empty() && kinds.iter().all(|sysctl| *sysctl != words), "{at} {value}");
            }
        }
    }

    #[test]
    fn a_container_is_not_asked_for_words_of_a_kernel() {
        let fields = json!({"outputs": ["oci"], "securityFeatures": {"kernelHardening": ["lockdown"]}});
        assert!(
            planned(Base::DEBIAN, None, &fields, &[]).checks.iter().all(|c| !c.field.contains("Hardening"))
        );
    }

    #[test]
    fn the_kernel_knows_the_keys() {
        let fields = json!({"outputs": ["oci"], "securityFeatures": {"kernelHardening": ALL}});
        let plan = planned(Base::FEDORA, None, &fields, &[]);
        let text = plan.text("etc/sysctl.d/99-zz-bootwright.conf").unwrap();
        for key in text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key) {
            let path = format!("/proc/sys/{}", key.replace('*', "all").replace('.', "/"));
            // Kernels are built without some of them; a misspelt one would be in no kernel.
            let optional =
                ["kernel.sysrq", "kernel.yama", "kernel.kexec", "net.core.bpf", "kernel.unprivileged_bpf"];
            let known = std::path::Path::new(&path).exists() || optional.iter().any(|o| key.starts_with(o));
            assert!(known, "{key}");
        }
    }
}
