//! What `init`, `new`, `check` and `lock` say.

use super::{Table, byte_delta, bytes, count, moment};
use crate::cli::terminal::{Palette, clean};
use crate::model::catalog::CatalogSource;
use crate::model::lock::PackageChange;
use crate::model::policy::Severity;
use crate::ops::{
    CheckReport, CheckedImage, Complaint, InitReport, LockOutcome, LockReport, LockState, LockedDevice,
    LockedImage, NewReport,
};

/// What a source file may show of one line.
const SOURCE_WIDTH: usize = 160;

pub fn init(report: &InitReport, palette: Palette) -> String {
    let dir = report.dir.display().to_string();
    let mut out = format!("made a catalog in {}\n", palette.strong(&clean(&dir)));
    for file in &report.files {
        out.push_str(&format!("  {}\n", clean(file)));
    }
    for mirror in &report.mirrors {
        let urls = mirror.urls.join(", ");
        out.push_str(&format!("{} packages come from {}\n", mirror.base.as_str(), clean(&urls)));
    }
    if report.mirrors.is_empty() {
        out.push_str(&format!(
            "{} this host's package configuration names no mirror: add one to bootwright.yaml\n",
            palette.poor("note:")
        ));
    }
    if let Some(key) = &report.key {
        let lock =
            if key.encrypted { "protected by the passphrase" } else { "not protected by a passphrase" };
        out.push_str(&format!("signing key: {} ({lock}; never commit it)\n", key.private.display()));
        out.push_str(&format!("public key:  {} (give this to whoever checks)\n", key.public.display()));
    }
    out.push_str(&format!("\nNext: `bootwright --catalog {dir} plan`, then `reconcile`.\n"));
    out
}

pub fn new(report: &NewReport, palette: Palette) -> String {
    format!(
        "wrote {}\n\nNext: edit it, `bootwright check`, `bootwright lock {}`, commit.\n",
        palette.strong(&clean(&report.path)),
        report.name
    )
}

/// `demo at 1a2b3c4d (2024-01-02 03:04 UTC) the subject`
pub(super) fn source(source: &CatalogSource, palette: Palette) -> String {
    let location = palette.strong(&clean(&source.location));
    match &source.commit {
        Some(commit) => {
            let id: String = clean(&commit.id).chars().take(8).collect();
            format!("{location} at {id} ({}) {}", moment(commit.date), clean(&commit.subject))
        }
        None => format!("{location}, working tree"),
    }
}

pub fn check(report: &CheckReport, palette: Palette) -> String {
    let mut out = format!("{}\n", source(&report.source, palette));
    if !report.images.is_empty() {
        out.push('\n');
        out.push_str(&images(&report.images));
    }
    if !report.devices.is_empty() {
        out.push('\n');
        out.push_str(&super::profiles::table(&report.devices, Palette::default()));
    }
    for (mark, complaints) in
        [(palette.poor("warning"), &report.warnings), (palette.bad("error"), &report.problems)]
    {
        for complaint in complaints {
            out.push('\n');
            out.push_str(&complain(complaint, &mark, palette));
        }
    }
    for finding in report.findings.iter().filter(|f| f.severity == Severity::Info) {
        out.push_str(&format!("\n{}: {}\n", palette.faint("policy"), clean(&finding.to_string())));
    }
    let verdict = match report.problems.len() {
        0 if report.devices.is_empty() => {
            palette.good(&format!("valid: {}", count(report.images.len(), "image")))
        }
        0 => palette.good(&format!(
            "valid: {}, {}",
            count(report.images.len(), "image"),
            count(report.devices.len(), "device profile")
        )),
        n => palette.bad(&format!("not valid: {}", count(n, "problem"))),
    };
    out.push_str(&format!("\n{verdict}\n"));
    out
}

fn images(images: &[CheckedImage]) -> String {
    let mut table = Table::new(["image", "base", "architecture", "outputs", "channel", "lock", "place"]);
    for image in images {
        let outputs: Vec<_> = image.outputs.iter().map(|o| o.as_str()).collect();
        table.row([
            image.name.to_string(),
            format!("{} {}", image.base.as_str(), image.suite),
            image.architecture.as_str().to_owned(),
            outputs.join(" "),
            image.channel.to_string(),
            match &image.lock {
                LockState::Missing => "none".to_owned(),
                LockState::Outdated => "out of date".to_owned(),
                LockState::Current { packages, date } => {
                    format!("{}, {}", count(*packages, "package"), date.format("%Y-%m-%d"))
                }
            },
            image.place.clone(),
        ]);
    }
    table.plain()
}

fn complain(complaint: &Complaint, mark: &str, palette: Palette) -> String {
    let mut place = clean(&complaint.file);
    for number in [complaint.line, complaint.column].into_iter().map_while(|n| n) {
        place.push_str(&format!(":{number}"));
    }
    let mut out = format!("{mark}: {}: {}\n", palette.strong(&place), clean(&complaint.message));
    if let (Some(line), Some(source)) = (complaint.line, &complaint.source_line) {
        let number = line.to_string();
        let shown: String = clean(source).chars().take(SOURCE_WIDTH).collect();
        out.push_str(&format!("  {number} | {shown}\n"));
        // `clean` keeps a tab as one space, so the caret stands below the right character.
        if let Some(column) = complaint.column.filter(|c| (1..=SOURCE_WIDTH).contains(&(*c as usize))) {
            let indent = " ".repeat(column as usize - 1);
            out.push_str(&format!("  {} | {indent}{}\n", " ".repeat(number.len()), palette.bad("^")));
        }
    }
    if let Some(suggestion) = &complaint.suggestion {
        out.push_str(&format!("  {} {}\n", palette.good("fix:"), clean(suggestion)));
    }
    out
}

pub fn lock(report: &LockReport, palette: Palette) -> String {
    let images = report.images.iter().map(|image| locked(image, palette));
    images.chain(report.devices.iter().map(|device| locked_device(device, palette))).collect()
}

fn outcome(outcome: LockOutcome, path: &str) -> String {
    match outcome {
        LockOutcome::Kept => "answers its spec, kept".to_owned(),
        LockOutcome::Unchanged => "nothing new upstream".to_owned(),
        LockOutcome::Written => format!("wrote {}", clean(path)),
        LockOutcome::WouldWrite => format!("would write {}", clean(path)),
    }
}

fn locked_device(device: &LockedDevice, palette: Palette) -> String {
    let mut out = format!(
        "{}: {} (OpenWrt {}, {}, {} installed)\n",
        palette.strong(device.device.as_str()),
        outcome(device.outcome, &device.path),
        device.release,
        count(device.packages, "package"),
        bytes(device.installed_size)
    );
    for change in &device.changes {
        out.push_str(&format!("  {}\n", clean(&change.to_string())));
    }
    out
}

fn locked(image: &LockedImage, palette: Palette) -> String {
    let what = outcome(image.outcome, &image.path);
    let mut out = format!(
        "{}: {what} ({}, {})\n",
        palette.strong(image.image.as_str()),
        count(image.packages, "package"),
        bytes(image.size)
    );
    for change in &image.changes {
        out.push_str(&format!("  {}\n", package_change(change, palette)));
    }
    out
}

/// One difference between two locks, with its effect on the size.
pub(super) fn package_change(change: &PackageChange, palette: Palette) -> String {
    let (PackageChange::Added { size_delta, .. }
    | PackageChange::Removed { size_delta, .. }
    | PackageChange::Changed { size_delta, .. }) = change;
    let size = palette.faint(&format!("({})", byte_delta(*size_delta)));
    format!("{} {size}", clean(&change.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;

    fn complaint() -> Complaint {
        Complaint {
            code: ErrorCode::Validation,
            file: "specs/gw.yaml".to_owned(),
            line: Some(7),
            column: Some(3),
            field: Some("spec.sute".to_owned()),
            message: "unknown field `sute`".to_owned(),
            source_line: Some("  sute: bookworm\u{1b}[2J".to_owned()),
            suggestion: Some("write `suite`".to_owned()),
        }
    }

    #[test]
    fn a_complaint_shows_place_line_and_fix() {
        assert_eq!(
            complain(&complaint(), "error", Palette::default()),
            "error: specs/gw.yaml:7:3: unknown field `sute`\n  7 |   sute: bookworm\n    |   ^\n  fix: write `suite`\n"
        );
    }

    #[test]
    fn absurd_places_do_not_hurt() {
        for (line, column) in
            [(None, Some(4)), (Some(1), Some(0)), (Some(1), Some(u32::MAX)), (Some(1), None)]
        {
            let shown = complain(&Complaint { line, column, ..complaint() }, "error", Palette::default());
            assert!(!shown.contains('^'), "{shown}");
            assert!(shown.len() < 200);
        }
    }

    #[test]
    fn a_catalog_with_a_problem_is_not_valid() {
        let report = CheckReport {
            source: CatalogSource { location: "demo".to_owned(), commit: None },
            images: Vec::new(),
            devices: Vec::new(),
            problems: vec![complaint()],
            warnings: Vec::new(),
            findings: Vec::new(),
        };
        assert!(check(&report, Palette::default()).ends_with("\nnot valid: 1 problem\n"));
    }
}
