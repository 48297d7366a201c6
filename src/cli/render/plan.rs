//! What `plan` and `reconcile` say.

use super::count;
use crate::cli::error;
use crate::cli::terminal::{Palette, clean, duration};
use crate::model::name::RuleName;
use crate::model::plan::{Action, ImageReport, Status, Step};
use crate::model::{ImageName, Version};
use crate::ops::ReconcileReport;
use crate::planner;

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
        Status::Refused { rules, message } => {
            let rules: Vec<&str> = rules.iter().map(RuleName::as_str).collect();
            palette.bad(&format!("refused by policy ({}): {}", rules.join(", "), clean(message)))
        }
    };
    format!("{image}: {status}{current}\n")
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
    for (image, versions) in signed_again(report) {
        let versions: Vec<&str> = versions.iter().map(|v| v.as_str()).collect();
        let image = palette.strong(image.as_str());
        out.push_str(&format!("{} {image} {}\n", palette.good("signed again"), versions.join(", ")));
    }
    for repaired in &report.repaired {
        let image = palette.strong(repaired.image.as_str());
        out.push_str(&format!("{} {image} {}\n", palette.good("repaired"), repaired.version));
    }
    for finding in &report.planned.plan.store {
        out.push_str(&format!("store: {}\n", clean(&finding.to_string())));
    }
    for failed in &report.failed {
        let image = palette.strong(failed.image.as_str());
        out.push_str(&format!("{} {image}: {}\n", palette.bad("failed"), error::one_line(&failed.failure)));
    }
    // What is refused stands among the failed.
    let quiet =
        |status: &Status| matches!(status, Status::Planned | Status::UpToDate | Status::Refused { .. });
    for image in report.planned.report.iter().filter(|r| !quiet(&r.status)) {
        out.push_str(&image_text(image, palette));
    }
    for finding in &report.planned.findings {
        out.push_str(&format!(
            "{} {}: {}\n",
            palette.poor("policy"),
            finding.image,
            clean(&finding.to_string())
        ));
        out.push_str(&format!("  {} {}\n", palette.good("fix:"), clean(&finding.suggestion)));
    }
    for image in &report.planned.report {
        if let Some(stale) = &image.stale {
            let name = palette.strong(image.image.as_str());
            out.push_str(&format!("{name}: {}\n", palette.poor(&clean(&stale.to_string()))));
        }
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
    if report.planned.plan.is_empty() {
        out.push_str(&format!("{} ({time})\n", planner::summary(&report.planned).trim_end_matches('.')));
    } else {
        let (done, failed) = (report.published.len(), report.failed.len());
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let repaired = match report.repaired.len() {
            0 => String::new(),
            n => format!(", {n} repaired"),
        };
        out.push_str(&format!("{done} published{repaired}{failed} ({time})\n"));
    }
    out
}

/// The releases that were signed again: neither failed nor left for another time.
fn signed_again(report: &ReconcileReport) -> Vec<(&ImageName, &[Version])> {
    if !report.remaining.is_empty() {
        return Vec::new();
    }
    let mut again = Vec::new();
    for Step { image, action, .. } in &report.planned.plan.steps {
        if let Action::Resign { versions } = action
            && !report.failed.iter().any(|f| &f.image == image)
        {
            again.push((image, versions.as_slice()));
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::model::catalog::CatalogSource;
    use crate::model::plan::{Plan, Planned, Reason};
    use crate::ops::{FailedImage, PublishedImage};
    use chrono::DateTime;

    fn planned(steps: Vec<Step>, report: Vec<ImageReport>) -> Planned {
        let source = CatalogSource { location: "demo".to_owned(), commit: None };
        let plan = Plan { source, made: DateTime::UNIX_EPOCH, store: Vec::new(), steps };
        Planned { plan, report, findings: Vec::new(), cards: Default::default() }
    }

    fn build() -> Step {
        Step {
            image: "gw".parse().unwrap(),
            action: Action::Build {
                recipe: Digest::of("r"),
                version: "20240101-0123abcd".parse().unwrap(),
                channel: "edge".parse().unwrap(),
                layers: Vec::new(),
            },
            reasons: vec![Reason::NewSpec],
        }
    }

    fn status(name: &str, status: Status) -> ImageReport {
        ImageReport {
            image: name.parse().unwrap(),
            current: None,
            status,
            stale: None,
            damaged: None,
            lost: Vec::new(),
            room: None,
        }
    }

    fn report() -> ReconcileReport {
        ReconcileReport {
            planned: planned(vec![build()], vec![status("gw", Status::Planned)]),
            published: Vec::new(),
            repaired: Vec::new(),
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
        assert_eq!(reconcile(&report, Palette::default()), "nothing to do: 1 up to date (0.0 s)\n");
    }
}
