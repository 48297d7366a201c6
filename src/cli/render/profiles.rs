//! What `openwrt profiles` says.

use super::{Table, bytes, count};
use crate::cli::terminal::{Palette, clean, clean_lines};
use crate::ops::openwrt::bundle::{ProfileExportReport, ProfileImportReport};
use crate::ops::openwrt::profiles::{
    ListedProfile, ProfileListReport, ProfileOfferedReport, ProfileShowReport, ProfileWrittenReport,
};

pub fn list(report: &ProfileListReport, palette: Palette) -> String {
    let profiles = count(report.profiles.len(), "device profile");
    format!("{}{profiles}\n", table(&report.profiles, palette))
}

pub fn table(profiles: &[ListedProfile], palette: Palette) -> String {
    let mut table = Table::new(["name", "release", "target", "device", "tags", "place"]);
    for profile in profiles {
        let tags: Vec<&str> = profile.tags.iter().map(|tag| tag.as_str()).collect();
        table.row([
            match profile.deprecated {
                Some(_) => format!("{} (deprecated)", profile.name),
                None => profile.name.to_string(),
            },
            profile.release.to_string(),
            profile.platform.to_string(),
            profile.profile.to_string(),
            tags.join(" "),
            clean(&profile.place),
        ]);
    }
    table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell })
}

pub fn show(report: &ProfileShowReport, palette: Palette) -> String {
    let listed = &report.listed;
    let mut out =
        format!("{}  {}\n", palette.strong(listed.name.as_str()), palette.faint(&clean(&listed.place)));
    if let Some(why) = &listed.deprecated {
        out.push_str(&format!("{} {}\n", palette.poor("deprecated:"), clean(why)));
    }
    out.push_str(&format!("\n{}\n", clean_lines(&report.document).join("\n")));
    if !report.overlay.is_empty() {
        out.push_str(&format!("\n{}\n", palette.faint("files laid over it")));
        for path in &report.overlay {
            out.push_str(&format!("  {}\n", clean(path)));
        }
    }
    out
}

pub fn offered(report: &ProfileOfferedReport, palette: Palette) -> String {
    let mut table = Table::new(["device", "what it is", "board"]);
    for device in &report.devices {
        table.row([
            device.profile.to_string(),
            clean(&device.offered.titles.join(", ")),
            clean(&device.offered.boards.join(" ")),
        ]);
    }
    format!(
        "{}{} of {} {}\n",
        table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell }),
        count(report.devices.len(), "device"),
        report.release,
        report.platform,
    )
}

pub fn written(report: &ProfileWrittenReport, palette: Palette) -> String {
    let mut out = String::new();
    for file in &report.files {
        out.push_str(&format!("wrote {}\n", palette.strong(&clean(file))));
    }
    let asked = if report.asked { "the release has this device; " } else { "" };
    out.push_str(&format!("\nNext: {asked}edit it, `bootwright check`, commit.\n"));
    out
}

pub fn export(report: &ProfileExportReport, palette: Palette) -> String {
    format!(
        "wrote {}: {}, {}\n",
        palette.strong(&clean(&report.to.display().to_string())),
        count(report.profiles.len(), "device profile"),
        bytes(report.bytes),
    )
}

pub fn import(report: &ProfileImportReport, palette: Palette) -> String {
    let mut out = String::new();
    for file in &report.files {
        out.push_str(&format!("wrote {}\n", clean(file)));
    }
    out.push_str(&format!("took {}\n", palette.strong(&count(report.profiles.len(), "device profile"))));
    out
}
