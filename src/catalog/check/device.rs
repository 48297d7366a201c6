//! Device profiles: what no field's type can say.

use super::outputs::named_file;
use super::{Report, doubled, schedule};
use crate::catalog::files::Files;
use crate::model::device::{DevicePackages, DeviceProfile, FIRST_BOOT, OpenwrtPackage, ROOTFS_MIB};
use crate::model::name_changes;
use crate::model::openwrt::feed_key;
use crate::model::settings::OpenwrtSettings;

/// Texts that people read in lists.
const LONGEST_LINE: usize = 200;

/// Checks a device profile.
pub fn check(report: &mut Report<'_>, profile: &DeviceProfile, files: &Files) {
    let (metadata, spec) = (&profile.metadata, &profile.spec);
    doubled(report, "metadata.tags", &metadata.tags);
    for (field, text) in
        [("metadata.description", &metadata.description), ("metadata.deprecated", &metadata.deprecated)]
    {
        let fits = |text: &&String| {
            text.trim().is_empty()
                || text.chars().count() > LONGEST_LINE
                || text.chars().any(char::is_control)
        };
        if text.as_ref().is_some_and(|text| fits(&text)) {
            let message = format!("this is no line of 1 to {LONGEST_LINE} characters");
            report.error(field, message, "Write one line, or take the field away.");
        }
    }
    doubled(report, "spec.packages.add", &spec.packages.add);
    doubled(report, "spec.packages.remove", &spec.packages.remove);
    for (index, package) in spec.packages.remove.iter().enumerate() {
        if spec.packages.add.contains(package) {
            report.conflict(
                &format!("spec.packages.remove[{index}]"),
                format!("{package} is put in and left out"),
                "Keep it in one of the two lists.",
            );
        }
    }
    doubled(report, "spec.disabledServices", &spec.disabled_services);
    schedule::times(report, spec.schedule.as_ref(), spec.schedule_time_zone.as_ref());
    if spec.rootfs_size.is_some() && spec.rootfs_mib().is_none() {
        report.error(
            "spec.rootfsSize",
            "this is no size that an Image Builder takes",
            format!("Write whole MiB from {} to {}: 256MiB.", ROOTFS_MIB.start(), ROOTFS_MIB.end()),
        );
    }
    if let Some(script) = &spec.first_boot_script
        && let Some(bytes) = named_file(report, "spec.firstBootScript", script.as_str(), files)
    {
        first_boot(report, bytes);
    }
    for (index, feed) in spec.repositories.iter().enumerate() {
        let at = format!("spec.repositories[{index}]");
        if spec.repositories[..index].iter().any(|other| other.name == feed.name) {
            let message = format!("{} is listed twice", feed.name);
            report.error(&format!("{at}.name"), message, "Choose another name.");
        }
        let field = format!("{at}.key");
        let Some(bytes) = named_file(report, &field, feed.key.as_str(), files) else { continue };
        if feed_key(bytes).is_none() {
            report.error(
                &field,
                format!("{} is no public key of a package repository", feed.key),
                "Up to 24.10 it is a usign key (two lines, the second begins with RW), from 25.12 on PEM.",
            );
        }
    }
}

/// The packages by the names that they have in the profile's release; warns of those that had another
/// one.
pub fn renamed(
    report: &mut Report<'_>,
    profile: &DeviceProfile,
    settings: &OpenwrtSettings,
) -> DevicePackages {
    let (spec, asked) = (&profile.spec, &profile.spec.packages);
    let changes = name_changes::of(&settings.package_changes, &spec.release);
    let (packages, renamed) = name_changes::follow(changes, asked);
    for renamed in renamed {
        let at = |list: &[OpenwrtPackage]| list.iter().position(|package| *package == renamed.from);
        let field = match (at(&asked.add), at(&asked.remove)) {
            (Some(index), _) => format!("spec.packages.add[{index}]"),
            (None, Some(index)) => format!("spec.packages.remove[{index}]"),
            // A new name that became another one.
            (None, None) => "spec.packages".to_owned(),
        };
        let hint = match renamed.to.is_empty() {
            true => "It is left out; take it away here.",
            false => "The new name is taken; write it here.",
        };
        report.warning(&field, format!("{renamed} in {}", spec.release), hint);
    }
    packages
}

/// The device's own shell reads the script: without a line break or with other line ends it
/// fails at the first start, where nobody looks.
fn first_boot(report: &mut Report<'_>, bytes: &[u8]) {
    let problem = match bytes {
        [] => Some("it is empty"),
        _ if bytes.contains(&b'\r') => Some("its lines end as those of Windows do"),
        _ if bytes.contains(&0) => Some("it is no text"),
        _ if !bytes.ends_with(b"\n") => Some("its last line has no end"),
        _ => None,
    };
    if let Some(problem) = problem {
        report.error(
            "spec.firstBootScript",
            format!("this script cannot be {FIRST_BOOT}: {problem}"),
            "Write a script for the device's /bin/sh.",
        );
    }
}
