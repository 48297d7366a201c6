//! The words for reasons and standings, the same in a terminal and in a pull request.

use crate::model::catalog::CatalogSource;
use crate::model::name::RuleName;
use crate::model::observed::StoreFinding;
use crate::model::plan::{Action, Damaged, ImageReport, LayerPlan, Planned, Reason, ReleaseRepair, Status};
use std::fmt::Write;

/// A text from outside, on one line: control and direction-changing characters, which could
/// rewrite what stands around them, are shown by number.
pub(super) fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_tricky(c) {
            let _ = write!(out, "<U+{:04X}>", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

/// Control characters, line and paragraph separators, bidirectional controls (Unicode
/// Standard Annex 9) and characters without width.
pub(super) fn is_tricky(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{061C}')
        || matches!(c, '\u{E0000}'..='\u{E007F}')
}

/// One reason.
pub(super) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NewSpec => "nothing is published for it yet".to_owned(),
        Reason::ChangedField { field, from, to, origin: None } => format!("{field}: {from} -> {to}"),
        Reason::ChangedField { field, from, to, origin: Some(place) } => {
            format!("{field}: {from} -> {to} (set at {place})")
        }
        Reason::ChangedPackage { change } => format!("package {change}"),
        Reason::Defect { defect } => defect.to_string(),
        Reason::OtherDefect { version, defect } => format!("{version}: {defect}"),
        Reason::Stale { days: 1, max_age_days } => {
            format!("it is a day old, its spec allows {max_age_days}, and it has no schedule")
        }
        Reason::Stale { days, max_age_days } => {
            format!("it is {days} days old, its spec allows {max_age_days}, and it has no schedule")
        }
        Reason::Schedule { due } => {
            format!("scheduled look for upstream changes, due {}", due.format("%Y-%m-%dT%H:%M:%SZ"))
        }
        Reason::NoLock => "no lock answers its spec".to_owned(),
        Reason::Channel { channel } => format!("channel {channel} does not point to it"),
        Reason::PolicyChanged { rule } => {
            format!("policy changed: rule {rule} asks for more than the release shows")
        }
        Reason::ByHand => "asked by hand".to_owned(),
    }
}

/// What a step does.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Lock => "resolve packages".to_owned(),
        Action::Build { version, channel, .. } => format!("build {version} for {channel}"),
        Action::Repair { releases } => {
            let versions: Vec<&str> = releases.iter().map(|r| r.version.as_str()).collect();
            format!("repair {}", versions.join(", "))
        }
        Action::Promote { version, channel } => format!("point {channel} to {version}"),
        Action::Resign { versions } => {
            let names: Vec<&str> = versions.iter().map(|v| v.as_str()).collect();
            format!("sign {} again", names.join(", "))
        }
    }
}

/// What a repair does, one line each, led by the release.
pub(super) fn mends(action: &Action) -> Vec<String> {
    let Action::Repair { releases } = action else { return Vec::new() };
    let of = |r: &ReleaseRepair| r.mends.iter().map(|m| format!("{}: {m}", r.version)).collect::<Vec<_>>();
    releases.iter().flat_map(of).collect()
}

/// What is put right in the store itself, one line.
pub(super) fn store(finding: &StoreFinding) -> String {
    format!("{}: {finding}", finding.cure())
}

/// What there is to say of an image beside its steps, one line each.
pub(super) fn notes(report: &ImageReport) -> Vec<String> {
    let mut notes: Vec<String> = report.stale.iter().map(ToString::to_string).collect();
    notes.extend(report.damaged.iter().map(ToString::to_string));
    for lost in &report.lost {
        let what = Damaged { defects: lost.defects.clone(), whole: None }.what();
        notes.push(format!("{} is damaged and nothing here makes it whole: {what}", lost.version));
    }
    notes.extend(report.room.iter().map(|room| format!("flash: {room}")));
    notes
}

/// How an image without a step stands.
pub(super) fn status(status: &Status) -> String {
    match status {
        Status::Planned => "planned".to_owned(),
        Status::UpToDate => "up to date".to_owned(),
        Status::Waiting { on } => format!("waiting: {on}"),
        Status::Stalled { failures: 1, class, message } => {
            format!("stalled after a {class} failure until its recipe changes: {message}")
        }
        Status::Stalled { failures, class, message } => {
            format!("stalled after {failures} failures, the last one {class}: {message}")
        }
        Status::Paused => "paused by its spec".to_owned(),
        Status::Refused { rules, message } => {
            let rules: Vec<&str> = rules.iter().map(RuleName::as_str).collect();
            format!("refused by policy ({}): {message}", rules.join(", "))
        }
    }
}

/// `cached bootstrap kernel / build configuration overlay`.
pub(super) fn layers(layers: &[LayerPlan]) -> String {
    let named = |cached: bool| {
        layers.iter().filter(|l| l.cached == cached).map(|l| l.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    match (named(true), named(false)) {
        (cached, build) if cached.is_empty() => format!("build {build}"),
        (cached, build) if build.is_empty() => format!("cached {cached}"),
        (cached, build) => format!("cached {cached} / build {build}"),
    }
}

/// Where the catalog was read: `catalog PATH at 0123456789ab: subject`.
pub(super) fn source(source: &CatalogSource) -> String {
    match &source.commit {
        Some(commit) => {
            let id: String = commit.id.chars().take(12).collect();
            format!("catalog {} at {id}: {}", source.location, commit.subject)
        }
        None => format!("catalog {}, working tree", source.location),
    }
}

/// `1 to build, 2 up to date, 1 waiting`, or that there is nothing to do.
pub fn summary(planned: &Planned) -> String {
    let steps = |is: fn(&Action) -> bool| planned.plan.steps.iter().filter(|s| is(&s.action)).count();
    let stand = |is: fn(&Status) -> bool| planned.report.iter().filter(|r| is(&r.status)).count();
    let counts = [
        (steps(|a| matches!(a, Action::Build { .. })), "to build"),
        (steps(|a| matches!(a, Action::Lock)), "to resolve"),
        (steps(|a| matches!(a, Action::Promote { .. })), "to promote"),
        (steps(|a| matches!(a, Action::Resign { .. })), "to sign again"),
        (steps(|a| matches!(a, Action::Repair { .. })), "to repair"),
        (planned.plan.store.len(), "to put right in the store"),
        (stand(|s| matches!(s, Status::UpToDate)), "up to date"),
        (stand(|s| matches!(s, Status::Waiting { .. })), "waiting"),
        (stand(|s| matches!(s, Status::Stalled { .. })), "stalled"),
        (stand(|s| matches!(s, Status::Paused)), "paused"),
        (stand(|s| matches!(s, Status::Refused { .. })), "refused"),
        (planned.report.iter().filter(|r| r.stale.is_some()).count(), "stale"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let lead = if planned.plan.is_empty() { "nothing to do" } else { "" };
    match (lead, counts.join(", ")) {
        (lead, counts) if counts.is_empty() => lead.to_owned(),
        ("", counts) => counts,
        (lead, counts) => format!("{lead}: {counts}"),
    }
}

/// The first reasons, and how many more there are. Changed packages are what can be many.
pub(super) fn first_reasons(reasons: &[Reason], most: usize) -> (&[Reason], usize) {
    // One line of "and 1 more" is no shorter than the line itself.
    if reasons.len() <= most + 1 { (reasons, 0) } else { (&reasons[..most], reasons.len() - most) }
}
