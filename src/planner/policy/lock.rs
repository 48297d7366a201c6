//! Rules on the packages that a spec resolved to.

use super::{FirmwarePackages, Packages, Report};
use crate::model::catalog::{DeviceDocument, ImageDocument};
use crate::model::policy::{Pattern, Requirement, Rule, Stage};
use crate::resolve::ISO_BOOT_FILES;

pub(super) fn judge(rule: &Rule, image: &ImageDocument, packages: Packages<'_>, report: &mut Report<'_>) {
    match &rule.requirement {
        Requirement::ForbiddenPackages(patterns) => {
            for (name, layer) in names(packages) {
                if let Some(pattern) = patterns.iter().find(|p| p.matches(name)) {
                    forbidden(image, name, layer, pattern, report);
                }
            }
        }
        Requirement::RequiredPackages(patterns) => {
            let Packages::Locked(lock) = packages else { return };
            let installed = || lock.packages.iter().filter(|p| p.layer != ISO_BOOT_FILES);
            for pattern in patterns {
                if !installed().any(|p| pattern.matches(p.name.as_str())) {
                    report.add(
                        Stage::Lock,
                        "spec.packages",
                        format!("no package {} is installed", pattern.as_str()),
                        format!(
                            "Add it to the packages of the spec, then run `bootwright lock {}`.",
                            lock.image
                        ),
                    );
                }
            }
        }
        Requirement::LockRequired if image.lock.is_none() => no_lock(report),
        _ => {}
    }
}

/// The same for the firmware of a device.
pub(super) fn judge_device(
    rule: &Rule,
    device: &DeviceDocument,
    packages: FirmwarePackages<'_>,
    report: &mut Report<'_>,
) {
    let spec = &device.profile.spec;
    let name = &device.profile.metadata.name;
    match &rule.requirement {
        Requirement::ForbiddenPackages(patterns) => {
            let names: Vec<&str> = match packages {
                FirmwarePackages::Locked(lock) => lock.packages.iter().map(|p| p.name.as_str()).collect(),
                FirmwarePackages::Asked(_) => device.packages.add.iter().map(|p| p.as_str()).collect(),
            };
            for package in names {
                let Some(pattern) = patterns.iter().find(|p| p.matches(package)) else { continue };
                let by = if pattern.is_plain() { String::new() } else { format!(" by {}", pattern.as_str()) };
                let own = spec.packages.add.iter().position(|own| own.as_str() == package);
                let (field, hint) = match own {
                    Some(index) => (format!("spec.packages.add[{index}]"), "Take it out of the packages."),
                    None => (
                        "spec.packages".to_owned(),
                        "Write it into `packages.remove`, or take out what brings it.",
                    ),
                };
                report.add(Stage::Lock, &field, format!("package {package} is forbidden{by}"), hint);
            }
        }
        Requirement::RequiredPackages(patterns) => {
            let FirmwarePackages::Locked(lock) = packages else { return };
            for pattern in patterns {
                if !lock.packages.iter().any(|p| pattern.matches(p.name.as_str())) {
                    report.add(
                        Stage::Lock,
                        "spec.packages",
                        format!("no package {} is installed", pattern.as_str()),
                        format!("Write it into `packages.add`, then run `bootwright lock {name}`."),
                    );
                }
            }
        }
        Requirement::LockRequired if device.lock.is_none() => no_lock(report),
        _ => {}
    }
}

fn no_lock(report: &mut Report<'_>) {
    let name = report.name;
    report.add(
        Stage::Lock,
        "metadata.name",
        format!("there is no committed lock for {name}"),
        format!("Run `bootwright lock {name}` and commit specs/{name}.lock.yaml."),
    );
}

/// Names with their layers, as far as they are known.
fn names(packages: Packages<'_>) -> Vec<(&str, &str)> {
    match packages {
        Packages::Asked(request) => request
            .layers
            .iter()
            .flat_map(|layer| layer.packages.iter().map(|p| (p.as_str(), layer.name.as_str())))
            .collect(),
        Packages::Locked(lock) => lock.packages.iter().map(|p| (p.name.as_str(), p.layer.as_str())).collect(),
        Packages::Unknown => Vec::new(),
    }
}

fn forbidden(image: &ImageDocument, name: &str, layer: &str, pattern: &Pattern, report: &mut Report<'_>) {
    let by = if pattern.is_plain() { String::new() } else { format!(" by {}", pattern.as_str()) };
    match field_of(image, name, layer) {
        Field::Own(field) => {
            let suggestion = "Take it out of the packages.";
            report.add(Stage::Lock, &field, format!("package {name} is forbidden{by}"), suggestion);
        }
        Field::Layer(field) => {
            report.add(
                Stage::Lock,
                &field,
                format!("package {name} is forbidden{by}, and comes with layer {layer}"),
                "Take out what brings it: its name, another package that needs it, or the feature it serves.",
            );
        }
    }
}

enum Field {
    /// The spec names the package here.
    Own(String),
    /// Something in the spec brings it.
    Layer(String),
}

fn field_of(image: &ImageDocument, name: &str, layer: &str) -> Field {
    for (category, names) in image.spec.spec.packages.categories() {
        if let Some(index) = names.iter().position(|own| own.as_str() == name) {
            return Field::Own(format!("spec.packages.{category}[{index}]"));
        }
    }
    match layer {
        "kernel" => Field::Layer("spec.kernel".to_owned()),
        "bootstrap" => Field::Layer("spec.base".to_owned()),
        ISO_BOOT_FILES => Field::Layer("spec.outputs".to_owned()),
        category => Field::Layer(format!("spec.packages.{category}")),
    }
}
