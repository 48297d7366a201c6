//! Rules on what a spec asks for, and on the mirrors of the settings.

use super::{Report, list};
use crate::catalog::Severity;
use crate::catalog::rules::{self, Breach};
use crate::model::catalog::ImageDocument;
use crate::model::policy::{Requirement, Rule, Stage, Verification};
use crate::model::settings::Mirror;
use crate::model::spec::{OsSpec, Output, Size};

const SETTINGS: &str = "bootwright.yaml";

pub(super) fn judge(rule: &Rule, image: &ImageDocument, mirrors: &[Mirror], report: &mut Report<'_>) {
    let spec = &image.spec.spec;
    match &rule.requirement {
        Requirement::Bases(allowed) if !allowed.contains(&spec.base) => {
            report.add(
                Stage::Spec,
                "spec.base",
                format!("base {} is not allowed", spec.base.as_str()),
                format!("Use one of: {}.", list(allowed, |b| b.as_str().to_owned())),
            );
        }
        Requirement::Suites(allowed) if !allowed.iter().any(|p| p.matches(spec.suite.as_str())) => {
            report.add(
                Stage::Spec,
                "spec.suite",
                format!("suite {} is not allowed", spec.suite),
                format!("Use one of: {}.", list(allowed, |p| p.as_str().to_owned())),
            );
        }
        Requirement::KeptRules(ids) => {
            // Errors refuse the image whatever a policy says.
            let warns = |breach: &Breach| breach.severity == Severity::Warning;
            let breaches = rules::breaches(&image.spec).into_iter().filter(warns);
            for breach in breaches.filter(|b| ids.iter().any(|id| id.matches(b.rule))) {
                let message = format!("{} ({})", breach.message, breach.rule);
                report.add(Stage::Spec, &breach.field, message, breach.suggestion);
            }
        }
        Requirement::Mirrors(allowed) => mirrors_are_allowed(spec, mirrors, allowed, report),
        Requirement::MaxSizes(sizes) => declared_limits(spec, sizes, report),
        Requirement::Verification(wanted) => verification(spec, wanted, report),
        _ => {}
    }
}

fn mirrors_are_allowed(spec: &OsSpec, mirrors: &[Mirror], allowed: &[String], report: &mut Report<'_>) {
    for (index, mirror) in mirrors.iter().enumerate().filter(|(_, m)| m.base == spec.base) {
        for (number, url) in mirror.urls.iter().enumerate() {
            if allowed.iter().any(|prefix| begins_with(url, prefix)) {
                continue;
            }
            let finding = report.add(
                Stage::Spec,
                &format!("mirrors[{index}].urls[{number}]"),
                format!("packages would come from {url}, which is not allowed"),
                format!("Use an address below one of: {}.", allowed.join(", ")),
            );
            finding.place =
                crate::model::policy::Place { file: SETTINGS.to_owned(), line: None, column: None };
        }
    }
}

/// Whether an address lies below another one: what follows begins a new part of the path,
/// and nothing in it leads back out.
fn begins_with(url: &str, prefix: &str) -> bool {
    let Some(rest) = url.strip_prefix(prefix) else { return false };
    let whole = rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/');
    let plain = !rest.contains('%') && !rest.contains('\\') && rest.split('/').all(|part| part != "..");
    whole && plain
}

fn declared_limits(spec: &OsSpec, sizes: &[(Output, Size)], report: &mut Report<'_>) {
    for (output, most) in sizes.iter().filter(|(output, _)| spec.outputs.contains(output)) {
        let (field, declared) = match output {
            Output::Iso => ("spec.limits.isoSize", spec.limits.iso_size),
            Output::Oci => ("spec.limits.ociSize", spec.limits.oci_size),
            Output::Rootfs => ("spec.limits.rootfsSize", spec.limits.rootfs_size),
            Output::Disk => ("spec.limits.diskSize", spec.limits.disk_size),
        };
        if let Some(declared) = declared.filter(|declared| declared > most) {
            report.add(
                Stage::Spec,
                field,
                format!("a limit of {declared} is declared, at most {most} are allowed"),
                format!("Write at most {}.", String::from(*most)),
            );
        }
    }
}

fn verification(spec: &OsSpec, wanted: &Verification, report: &mut Report<'_>) {
    let verify = &spec.verify;
    let asks_a_boot = !wanted.boot.is_empty()
        || !wanted.units.is_empty()
        || !wanted.ports.is_empty()
        || wanted.dwell_seconds.is_some();
    if asks_a_boot && !spec.outputs.iter().any(|output| output.starts()) {
        report.add(
            Stage::Spec,
            "spec.outputs",
            "a boot has to be shown, and nothing that boots is among the outputs",
            "Add iso to the outputs, or select images with that output in the rule.",
        );
        return;
    }
    for mode in wanted.boot.iter().filter(|mode| !verify.boot.contains(mode)) {
        report.add(
            Stage::Spec,
            "spec.verify.boot",
            format!("{} is not among the ways to boot", mode.as_str()),
            format!("Add {} to `verify.boot`.", mode.as_str()),
        );
    }
    for unit in &wanted.units {
        if !verify.units.iter().any(|own| own.full() == unit.full()) {
            report.add(
                Stage::Spec,
                "spec.verify.units",
                format!("{unit} is not among the units that must be active"),
                format!("Add {unit} to `verify.units`."),
            );
        }
    }
    for port in wanted.ports.iter().filter(|port| !verify.ports.contains(port)) {
        report.add(
            Stage::Spec,
            "spec.verify.ports",
            format!("{port} is not among the ports that must be open"),
            format!("Add {port} to `verify.ports`."),
        );
    }
    if let Some(least) = wanted.dwell_seconds.filter(|least| verify.dwell_seconds < *least) {
        report.add(
            Stage::Spec,
            "spec.verify.dwellSeconds",
            format!("the image is watched for {} s, at least {least} s are asked for", verify.dwell_seconds),
            format!("Write `dwellSeconds: {least}` or more."),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn an_address_lies_below_another() {
        for (url, prefix) in [
            ("https://deb.example/debian", "https://deb.example"),
            ("https://deb.example/debian", "https://deb.example/"),
            ("https://deb.example/debian", "https://deb.example/debian"),
            ("file:///srv/mirror/debian", "file:///srv/mirror"),
        ] {
            assert!(begins_with(url, prefix), "{url} {prefix}");
        }
        for (url, prefix) in [
            ("https://deb.example.evil.org/debian", "https://deb.example"),
            ("https://deb.example:8443/debian", "https://deb.example"),
            ("http://deb.example/debian", "https://deb.example"),
            ("https://deb.example/debian/../private", "https://deb.example/debian"),
            ("https://deb.example/debian/%2e%2e/private", "https://deb.example/debian"),
            ("https://deb.example/debian-evil", "https://deb.example/debian"),
            ("https://deb.example", "https://deb.example/debian"),
        ] {
            assert!(!begins_with(url, prefix), "{url} {prefix}");
        }
    }
}
