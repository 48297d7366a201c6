//! What `plan` and `reconcile` say.

use super::catalog::{package_change, source};
use super::{count, moment};
use crate::cli::error;
use crate::cli::terminal::{Palette, clean, duration};
use crate::model::plan::{Action, ImageReport, LayerPlan, Planned, Reason, Status, Step};
use crate::ops::ReconcileReport;

/// Longer lists of reasons are cut; JSON and Markdown have them all.
const REASONS_SHOWN: usize = 12;

pub fn plan(planned: &Planned, palette: Palette) -> String {
    let mut out = format!("{}\n", source(&planned.plan.source, palette));
    for step in &planned.plan.steps {
        out.push('\n');
        out.push_str(&step_text(step, palette));
    }
    let rest: Vec<_> = planned.report.iter().filter(|r| r.status != Status::Planned).collect();
    if !rest.is_empty() {
        out.push('\n');
    }
    for image in rest {
        out.push_str(&image_text(image, palette));
    }
    out.push_str(&format!("\n{}\n", summary(planned)));
    out
}

fn step_text(step: &Step, palette: Palette) -> String {
    let image = palette.strong(step.image.as_str());
    let mut out = match &step.action {
        Action::Lock => format!("{image}: resolve packages, then build\n"),
        Action::Build { version, channel, .. } => format!("{image}: build {version} for {channel}\n"),
        Action::Promote { version, channel } => {
            format!("{image}: point {channel} to {version}, which is published already\n")
        }
    };
    for reason in step.reasons.iter().take(REASONS_SHOWN) {
        out.push_str(&format!("  because {}\n", reason_text(reason, palette)));
    }
    if step.reasons.len() > REASONS_SHOWN {
        out.push_str(&format!("  and {} more\n", count(step.reasons.len() - REASONS_SHOWN, "reason")));
    }
    if let Action::Build { layers, .. } = &step.action {
        out.push_str(&format!("  layers  {}\n", layers_text(layers, palette)));
    }
    out
}

fn layers_text(layers: &[LayerPlan], palette: Palette) -> String {
    let names = |cached: bool| {
        let names: Vec<_> = layers.iter().filter(|l| l.cached == cached).map(|l| clean(&l.name)).collect();
        (names.len(), names.join(", "))
    };
    match (names(false), names(true)) {
        ((0, _), (n, cached)) => format!("all {n} cached: {}", palette.faint(&cached)),
        ((n, build), (0, _)) => format!("{n} to build: {build}"),
        ((n, build), (m, cached)) => {
            format!("{n} to build: {build}; {m} cached: {}", palette.faint(&cached))
        }
    }
}

fn reason_text(reason: &Reason, palette: Palette) -> String {
    match reason {
        Reason::NewSpec => "nothing is published for it".to_owned(),
        Reason::ChangedField { field, from, to } => {
            format!("{} changed from {} to {}", clean(field), clean(from), clean(to))
        }
        Reason::ChangedPackage { change } => format!("package {}", package_change(change, palette)),
        Reason::Defect { defect } => clean(&defect.to_string()),
        Reason::Schedule { due } => format!("its schedule was due at {}", moment(*due)),
        Reason::NoLock => "no lock answers its spec".to_owned(),
        Reason::Channel { channel } => format!("its channel is {channel}"),
        Reason::ByHand => "it was asked for".to_owned(),
    }
}

fn image_text(report: &ImageReport, palette: Palette) -> String {
    let image = palette.strong(report.image.as_str());
    let current = report.current.as_ref().map(|v| format!(" ({v})")).unwrap_or_default();
    let status = match &report.status {
        Status::Planned => "planned".to_owned(),
        Status::UpToDate => palette.good("up to date"),
        Status::Waiting { on } => palette.poor(&format!("waiting: {}", clean(on))),
        Status::Stalled { failures, class, message } => {
            let times = count(*failures as usize, "failure");
            palette.bad(&format!("stalled after {times} ({class}): {}", clean(message)))
        }
        Status::Paused => "paused".to_owned(),
    };
    format!("{image}: {status}{current}\n")
}

/// `1 to build, 2 up to date.`
fn summary(planned: &Planned) -> String {
    let steps = |wanted: fn(&Action) -> bool| planned.plan.steps.iter().filter(|s| wanted(&s.action)).count();
    let images = |wanted: fn(&Status) -> bool| planned.report.iter().filter(|r| wanted(&r.status)).count();
    let parts = [
        (steps(|a| matches!(a, Action::Lock)), "to resolve and build"),
        (steps(|a| matches!(a, Action::Build { .. })), "to build"),
        (steps(|a| matches!(a, Action::Promote { .. })), "to promote"),
        (images(|s| matches!(s, Status::UpToDate)), "up to date"),
        (images(|s| matches!(s, Status::Waiting { .. })), "waiting"),
        (images(|s| matches!(s, Status::Stalled { .. })), "stalled"),
        (images(|s| matches!(s, Status::Paused)), "paused"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match (planned.plan.steps.is_empty(), parts.is_empty()) {
        (true, true) => "Nothing to do: the catalog has no images.".to_owned(),
        (true, false) => format!("Nothing to do: {}.", parts.join(", ")),
        (false, _) => format!("{}.", parts.join(", ")),
    }
}

pub fn reconcile(report: &ReconcileReport, palette: Palette) -> String {
    let mut out = String::new();
    for published in &report.published {
        out.push_str(&format!(
            "{} {} {} on {}: {}\n",
            palette.good("published"),
            palette.strong(published.image.as_str()),
            published.version,
            published.channel,
            clean(&published.location)
        ));
    }
    for failed in &report.failed {
        let image = palette.strong(failed.image.as_str());
        out.push_str(&format!("{} {image}: {}\n", palette.bad("failed"), error::one_line(&failed.failure)));
    }
    for image in
        report.planned.report.iter().filter(|r| !matches!(r.status, Status::Planned | Status::UpToDate))
    {
        out.push_str(&image_text(image, palette));
    }
    if report.interrupted {
        out.push_str(&format!("{}; what remains:\n", palette.poor("stopped on request")));
    } else if !report.remaining.is_empty() {
        out.push_str("not done:\n");
    }
    for step in &report.remaining {
        out.push_str(&format!("  {}\n", clean(step)));
    }
    let time = duration(report.elapsed_ms);
    if report.planned.plan.steps.is_empty() {
        out.push_str(&format!("{} ({time})\n", summary(&report.planned).trim_end_matches('.')));
    } else {
        let (done, failed) = (report.published.len(), report.failed.len());
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        out.push_str(&format!("{done} published{failed} ({time})\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::model::catalog::CatalogSource;
    use crate::model::plan::Plan;
    use crate::model::recipe::LayerId;
    use crate::ops::{FailedImage, PublishedImage};
    use chrono::DateTime;

    fn layer(name: &str, cached: bool) -> LayerPlan {
        LayerPlan { name: name.to_owned(), id: LayerId(Digest::of(name)), cached }
    }

    fn planned(steps: Vec<Step>, report: Vec<ImageReport>) -> Planned {
        let source = CatalogSource { location: "demo".to_owned(), commit: None };
        Planned { plan: Plan { source, made: DateTime::UNIX_EPOCH, steps }, report }
    }

    fn build() -> Step {
        Step {
            image: "gw".parse().unwrap(),
            action: Action::Build {
                recipe: Digest::of("r"),
                version: "20240101-0123abcd".parse().unwrap(),
                channel: "edge".parse().unwrap(),
                layers: vec![layer("bootstrap", true), layer("kernel", true), layer("configuration", false)],
            },
            reasons: vec![Reason::ChangedField {
                field: "configuration.hostname".to_owned(),
                from: "a".to_owned(),
                to: "b\u{1b}[2J".to_owned(),
            }],
        }
    }

    fn status(name: &str, status: Status) -> ImageReport {
        ImageReport { image: name.parse().unwrap(), current: None, status }
    }

    #[test]
    fn a_plan_says_what_and_why_and_which_layers() {
        let planned = planned(
            vec![build()],
            vec![
                status("gw", Status::Planned),
                status("lab", Status::UpToDate),
                status("old", Status::Paused),
            ],
        );
        assert_eq!(
            plan(&planned, Palette::default()),
            "demo, working tree\n\n\
             gw: build 20240101-0123abcd for edge\n  \
             because configuration.hostname changed from a to b\n  \
             layers  1 to build: configuration; 2 cached: bootstrap, kernel\n\n\
             lab: up to date\nold: paused\n\n1 to build, 1 up to date, 1 paused.\n"
        );
    }

    #[test]
    fn nothing_to_do_is_said() {
        let planned = planned(vec![], vec![status("gw", Status::UpToDate)]);
        assert!(plan(&planned, Palette::default()).ends_with("Nothing to do: 1 up to date.\n"));
    }

    #[test]
    fn many_reasons_are_cut() {
        let mut step = build();
        step.reasons = vec![Reason::NewSpec; 20];
        assert!(step_text(&step, Palette::default()).contains("  and 8 reasons more\n"));
    }

    fn report() -> ReconcileReport {
        ReconcileReport {
            planned: planned(vec![build()], vec![status("gw", Status::Planned)]),
            published: Vec::new(),
            failed: Vec::new(),
            remaining: Vec::new(),
            interrupted: false,
            elapsed_ms: 65_000,
        }
    }

    #[test]
    fn a_round_says_what_was_published_and_what_failed() {
        let report = ReconcileReport {
            published: vec![PublishedImage {
                image: "gw".parse().unwrap(),
                version: "20240101-0123abcd".parse().unwrap(),
                channel: "edge".parse().unwrap(),
                location: "releases/gw/20240101-0123abcd".to_owned(),
            }],
            failed: vec![FailedImage {
                image: "lab".parse().unwrap(),
                failure: crate::model::Failure::host("no disk"),
            }],
            ..report()
        };
        assert_eq!(
            reconcile(&report, Palette::default()),
            "published gw 20240101-0123abcd on edge: releases/gw/20240101-0123abcd\n\
             failed lab: no disk\n1 published, 1 failed (65.0 s)\n"
        );
    }

    #[test]
    fn a_stop_says_what_remains() {
        let report = ReconcileReport {
            interrupted: true,
            remaining: vec!["gw: verify and publish".to_owned()],
            ..report()
        };
        let text = reconcile(&report, Palette::default());
        assert!(text.starts_with("stopped on request; what remains:\n  gw: verify and publish\n"), "{text}");
    }

    #[test]
    fn a_round_without_work_says_so() {
        let report = ReconcileReport {
            planned: planned(vec![], vec![status("gw", Status::UpToDate)]),
            elapsed_ms: 42,
            ..report()
        };
        assert_eq!(reconcile(&report, Palette::default()), "Nothing to do: 1 up to date (0.0 s)\n");
    }
}
