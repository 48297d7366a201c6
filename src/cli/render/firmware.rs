//! What `openwrt build` says.

use super::{bytes, count};
use crate::cli::error;
use crate::cli::terminal::{Palette, clean};
use crate::model::firmware::{FirmwareRecord, NetworkUse};
use crate::ops::openwrt::building::{DeviceFirmware, FirmwareBuildReport, FirmwareOutcome};
use crate::ops::openwrt::changes::ChangesReport;
use crate::ops::openwrt::records::BuildsReport;

pub fn build(report: &FirmwareBuildReport, palette: Palette) -> String {
    let mut out = String::new();
    for device in &report.firmware {
        out.push_str(&one(device, palette));
    }
    for failed in &report.failed {
        let name = palette.strong(failed.name.as_str());
        out.push_str(&format!(
            "{name}  {}\n{}",
            palette.bad("failed"),
            error::text(&failed.failure, palette)
        ));
    }
    if report.firmware.len() + report.failed.len() > 1 {
        let failed = match report.failed.len() {
            0 => String::new(),
            n => palette.bad(&format!(", {n} failed")),
        };
        out.push_str(&format!("{}{failed}\n", count(report.firmware.len(), "device")));
    }
    out
}

fn one(device: &DeviceFirmware, palette: Palette) -> String {
    let outcome = match device.outcome {
        FirmwareOutcome::Built => "built",
        FirmwareOutcome::Reused => "is here",
        FirmwareOutcome::WouldBuild => "would be built",
        FirmwareOutcome::WouldFetchAndBuild => "would be built, once its Image Builder is fetched",
    };
    let mut out = format!("{}  {outcome}\n", palette.strong(device.name.as_str()));
    if let Some(digest) = device.recipe {
        out.push_str(&format!("  recipe   sha256:{}\n", digest.hex()));
    }
    out.push_str(&device.record.as_ref().map(record).unwrap_or_default());
    if let Some(path) = &device.path {
        out.push_str(&format!("  folder   {}\n", clean(&path.display().to_string())));
    }
    out
}

/// What `openwrt changes` says: lines for the settings.
pub fn changes(report: &ChangesReport, _: Palette) -> String {
    let mut out = "openwrt:\n  packageChanges:\n".to_owned();
    for (branch, changes) in &report.package_changes {
        out.push_str(&format!("    \"{branch}\":\n"));
        for change in changes {
            // Names of packages can look like numbers to YAML.
            let target = change.target.iter().map(|name| format!(", target: \"{name}\"")).collect::<String>();
            let mandatory = if change.mandatory { ", mandatory: true" } else { "" };
            let (source, revision) = (&change.source, change.revision);
            out.push_str(&format!(
                "      - {{source: \"{source}\"{target}, revision: {revision}{mandatory}}}\n"
            ));
        }
    }
    out
}

/// What `openwrt builds` says.
pub fn builds(report: &BuildsReport, palette: Palette) -> String {
    let mut out = String::new();
    for build in &report.builds {
        let names: Vec<&str> = build.profiles.iter().map(|name| name.as_str()).collect();
        let names = if names.is_empty() { "of no profile".to_owned() } else { names.join(", ") };
        out.push_str(&format!(
            "{}  {names}\n  OpenWrt  {} {} {}, {}\n  built    {}\n",
            palette.strong(&build.recipe.short()),
            build.release,
            build.platform,
            build.device,
            count(build.packages, "package"),
            build.built.format("%Y-%m-%d %H:%M UTC"),
        ));
        for image in &build.images {
            out.push_str(&format!("  image    {}  {}\n", image.sha256.hex(), clean(&image.name)));
        }
        for release in &build.releases {
            out.push_str(&format!("  release  {}/{}\n", release.profile, release.version));
        }
        if let Some(path) = &build.path {
            out.push_str(&format!("  folder   {}\n", clean(&path.display().to_string())));
        }
    }
    for failed in &report.failed {
        let line = error::one_line(&failed.failure);
        out.push_str(&format!("{} {}: {line}\n", palette.bad("failed"), failed.profile));
    }
    if report.builds.is_empty() {
        out.push_str("no build fits\n");
    }
    out
}

fn record(record: &FirmwareRecord) -> String {
    let mut out = format!(
        "  OpenWrt  {} {}, kernel {}, {}\n",
        record.recipe.release,
        clean(&record.revision),
        clean(record.kernel.as_deref().unwrap_or("unknown")),
        count(record.packages.len(), "package"),
    );
    if record.network == NetworkUse::Fetch {
        out.push_str("  network  packages were fetched before; the build had none\n");
    }
    for image in &record.images {
        let size = record.files.iter().find(|file| file.name == image.name).map(|file| bytes(file.bytes));
        out.push_str(&format!("  image    {}  {}\n", clean(&image.name), size.unwrap_or_default()));
    }
    out
}
