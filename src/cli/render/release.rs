//! What `release …` and `boot` say.

use super::{Table, bytes, count, moment};
use crate::cli::terminal::{Palette, clean, clean_lines, duration};
use crate::model::evidence::{Evidence, Verdict};
use crate::model::rebuild::RebuiltFile;
use crate::ops::{
    BootReport, FetchReport, ListedImage, PromoteReport, PruneReport, RebuildReport, ReleaseList,
    ReleaseShow, VerifyReport,
};

pub fn list(report: &ReleaseList, palette: Palette) -> String {
    if report.images.is_empty() {
        return format!("{}: nothing is published\n", clean(&report.store));
    }
    let mut table = Table::new(["image", "version", "channels", "published", "size", "commit"]);
    for image in &report.images {
        for release in &image.releases {
            table.row([
                image.image.to_string(),
                release.version.to_string(),
                channels_of(image, &release.version).join(" "),
                moment(release.published),
                release.size.map_or_else(|| "unreadable".to_owned(), bytes),
                release.commit.as_deref().map(short).unwrap_or_default(),
            ]);
        }
    }
    let mut out = table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell });
    for image in &report.images {
        for release in &image.releases {
            for note in &release.notes {
                let note = palette.poor(&clean(note));
                out.push_str(&format!("{} {}: {note}\n", image.image, release.version));
            }
        }
    }
    out
}

fn channels_of(image: &ListedImage, version: &crate::model::Version) -> Vec<String> {
    let pointing = image.channels.iter().filter(|(_, v)| *v == version);
    pointing.map(|(channel, _)| channel.to_string()).collect()
}

fn short(commit: &str) -> String {
    commit.chars().take(8).collect()
}

pub fn show(report: &ReleaseShow, palette: Palette) -> String {
    let manifest = &report.manifest;
    let mut out = format!("{} {}\n", palette.strong(manifest.image.as_str()), manifest.version);
    if let Some(description) = &manifest.description {
        out.push_str(&format!("{}\n", clean(description)));
    }
    let channels: Vec<_> = report.channels.iter().map(ToString::to_string).collect();
    let base = format!("{} {}", manifest.system.words(), manifest.system.architecture());
    let commit = match &manifest.commit {
        Some(commit) => format!("{} {}", short(&commit.id), commit.subject),
        None => "none: a working tree".to_owned(),
    };
    for (name, value) in [
        ("channels", if channels.is_empty() { "none".to_owned() } else { channels.join(" ") }),
        ("base", base),
        ("commit", commit),
        ("published", moment(manifest.published)),
        ("recipe", manifest.recipe.to_string()),
        ("packages", manifest.package_count.to_string()),
        ("location", report.location.clone()),
    ] {
        out.push_str(&format!("  {name:<10} {}\n", clean(&value)));
    }
    if let Some(image) = &manifest.registry {
        out.push_str(&format!("  registry   {}\n             {}\n", clean(&image.reference), image.digest));
    }
    out.push('\n');
    let mut files = Table::new(["file", "size", "sha256"]);
    for file in &manifest.files {
        files.row([file.name.clone(), bytes(file.size), file.sha256.hex()]);
    }
    out.push_str(&files.plain());
    out.push_str(&verification(&manifest.verification, palette));
    for file in &manifest.not_reproducible {
        out.push_str(&format!("not reproducible: {}: {}\n", clean(&file.file), clean(&file.why)));
    }
    for signature in &report.signatures {
        out.push_str(&format!("signature: {} ({})\n", clean(&signature.file), clean(&signature.kind)));
    }
    for verdict in &report.rebuilds {
        let word =
            if verdict.reproduced() { palette.good("reproduced") } else { palette.bad("NOT reproduced") };
        out.push_str(&format!("rebuilt {}: {word}\n", verdict.finished.format("%Y-%m-%d")));
    }
    if let Some(changelog) = &report.changelog {
        out.push('\n');
        for line in clean_lines(changelog) {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

fn verification(evidence: &[Evidence], palette: Palette) -> String {
    if evidence.is_empty() {
        return format!("\n{}\n", palette.poor("nothing of this release was verified"));
    }
    let mut out = String::from("\n");
    for check in evidence.iter().flat_map(|e| &e.checks) {
        let time = check.timings_ms.last().map(|(_, ms)| format!("  {}", duration(*ms))).unwrap_or_default();
        let mark = match check.verdict {
            Verdict::Passed => palette.good("✔"),
            _ => palette.bad("✘"),
        };
        out.push_str(&format!("{mark} {}{time}\n", clean(&check.name)));
    }
    out
}

pub fn verify(report: &VerifyReport, palette: Palette) -> String {
    let mut out = String::new();
    for check in &report.checks {
        let mark = if check.passed { palette.good("✔") } else { palette.bad("✘") };
        out.push_str(&format!(
            "{mark} {}  {}  {}\n",
            clean(&check.file),
            clean(&check.what),
            palette.faint(&clean(&check.finding))
        ));
    }
    let name = format!("{} {}", report.image, report.version);
    let failed = report.checks.iter().filter(|c| !c.passed).count();
    out.push_str(&match (report.passed(), failed) {
        (true, _) => format!("{}\n", palette.good(&format!("{name} is good"))),
        (false, 0) => format!("{}: nothing was checked\n", palette.bad(&format!("{name} is NOT good"))),
        (false, n) => {
            format!(
                "{}: {} did not match; do not use it\n",
                palette.bad(&format!("{name} is NOT good")),
                count(n, "check")
            )
        }
    });
    out
}

pub fn fetch(report: &FetchReport, palette: Palette) -> String {
    let mut out = String::new();
    for file in &report.files {
        let how = if file.present { "was there" } else { "fetched" };
        out.push_str(&format!("{how:<9}  {:>9}  {}\n", bytes(file.size), clean(&file.name)));
    }
    let name = format!("{} {}", report.image, report.version);
    out.push_str(&format!(
        "{} is in {}, checked\n",
        palette.good(&name),
        clean(&report.folder.display().to_string())
    ));
    out
}

pub fn promote(report: &PromoteReport, palette: Palette) -> String {
    let before = match &report.previous {
        Some(version) if *version == report.version => " (as before)".to_owned(),
        Some(version) => format!(" (before: {version})"),
        None => String::new(),
    };
    format!(
        "{} {} points to {}{before}\n",
        palette.strong(report.image.as_str()),
        report.channel,
        report.version
    )
}

pub fn rebuild(report: &RebuildReport, palette: Palette) -> String {
    let mut out = String::new();
    for file in &report.verdict.files {
        out.push_str(&rebuilt(file, palette));
    }
    let name = format!("{} {}", report.verdict.image, report.verdict.version);
    out.push_str(&match report.reproduced {
        true => format!("{}\n", palette.good(&format!("{name} is reproduced, bit for bit"))),
        false => format!("{}\n", palette.bad(&format!("{name} is NOT reproduced"))),
    });
    if let Some(path) = &report.written {
        out.push_str(&format!("the signed verdict is in {}\n", clean(&path.display().to_string())));
    }
    out
}

fn rebuilt(file: &RebuiltFile, palette: Palette) -> String {
    let name = clean(&file.name);
    if file.same() {
        return format!("{} {name}  {}\n", palette.good("✔"), palette.faint(&file.rebuilt.to_string()));
    }
    let mut out = format!("{} {name}\n", palette.bad("✘"));
    out.push_str(&format!("  published  {}\n  rebuilt    {}\n", file.published, file.rebuilt));
    if let Some(why) = &file.excused {
        out.push_str(&format!("  the release says that it cannot be reproduced: {}\n", clean(why)));
    }
    if let Some(difference) = &file.difference {
        out.push_str(&format!("  {}\n", clean(&difference.to_string())));
        for line in clean_lines(difference.report.as_deref().unwrap_or_default()) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out
}

pub fn prune(report: &PruneReport, palette: Palette) -> String {
    let mut table = Table::new(["image", "version", "published", "size", "why"]);
    for release in &report.removed {
        let what = if report.done { "removed" } else { "would go" };
        table.row([
            release.image.to_string(),
            release.version.to_string(),
            moment(release.published),
            bytes(release.bytes),
            what.to_owned(),
        ]);
    }
    let mut out = String::new();
    if !report.removed.is_empty() {
        out = table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell });
    }
    let (goes, stays) = (count(report.removed.len(), "release"), report.kept.len());
    out.push_str(&match (report.done, report.removed.is_empty()) {
        (_, true) => format!("nothing goes, {stays} stay\n"),
        (true, _) => format!("removed {goes}, {}; {stays} stay\n", bytes(report.bytes)),
        (false, _) => format!(
            "{goes}, {} would go, {stays} would stay; nothing was removed: add --yes\n",
            bytes(report.bytes)
        ),
    });
    out
}

pub fn boot(report: &BootReport, _palette: Palette) -> String {
    format!(
        "{} ran for {} ({}, {})\n",
        clean(&report.file.display().to_string()),
        duration(report.elapsed_ms),
        report.mode.as_str(),
        clean(&report.accelerator)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{ListedRelease, TrustCheck};

    fn check(passed: bool) -> TrustCheck {
        TrustCheck {
            file: "gw.iso\u{1b}[2J".to_owned(),
            what: "digest".to_owned(),
            passed,
            finding: "matches".to_owned(),
        }
    }

    fn report(checks: Vec<TrustCheck>) -> VerifyReport {
        VerifyReport { image: "gw".parse().unwrap(), version: "20240101-0123abcd".parse().unwrap(), checks }
    }

    #[test]
    fn only_a_full_match_is_called_good() {
        let none = Palette::default();
        assert!(verify(&report(vec![check(true)]), none).ends_with("gw 20240101-0123abcd is good\n"));
        for checks in [vec![], vec![check(false)], vec![check(true), check(false)]] {
            let text = verify(&report(checks), none);
            assert!(text.contains("is NOT good"), "{text}");
            assert!(!text.contains("is good") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn a_list_shows_which_channel_points_where() {
        let version: crate::model::Version = "20240101-0123abcd".parse().unwrap();
        let release = ListedRelease {
            version: version.clone(),
            published: chrono::DateTime::UNIX_EPOCH,
            recipe: crate::model::Digest::of("r"),
            size: None,
            commit: Some("0123456789abcdef".to_owned()),
            notes: vec!["published file gw.iso is missing".to_owned()],
        };
        let image = ListedImage {
            image: "gw".parse().unwrap(),
            channels: [("edge".parse().unwrap(), version.clone()), ("stable".parse().unwrap(), version)]
                .into(),
            releases: vec![release],
        };
        let list =
            list(&ReleaseList { store: "s".to_owned(), serial: 1, images: vec![image] }, Palette::default());
        let row = list.lines().nth(1).unwrap();
        assert_eq!(row, "gw     20240101-0123abcd  edge stable  1970-01-01 00:00 UTC  unreadable  01234567");
        assert_eq!(list.lines().last(), Some("gw 20240101-0123abcd: published file gw.iso is missing"));
    }
}
