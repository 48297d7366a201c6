//! A plan for the terminal, without colours.

use super::words;
use crate::model::card_plan::CardPlan;
use crate::model::plan::{Action, ImageReport, Planned, Step};
use std::fmt::Write;

/// So many reasons are shown for one step.
const MOST_REASONS: usize = 40;

/// The plan as lines of text: the catalog, then each image with how it stands, what is done,
/// why, and which layers; last a summary.
pub fn text(planned: &Planned) -> String {
    let mut out = String::new();
    line(&mut out, "", &words::source(&planned.plan.source));
    for finding in &planned.plan.store {
        line(&mut out, "store: ", &words::store(finding));
    }
    for report in &planned.report {
        let steps: Vec<&Step> = planned.plan.steps.iter().filter(|s| s.image == report.image).collect();
        if steps.is_empty() {
            line(
                &mut out,
                "",
                &format!("{}{}: {}", report.image, on_channel(report), words::status(&report.status)),
            );
        }
        for step in steps {
            one_step(&mut out, report, step);
        }
        for finding in planned.findings.iter().filter(|f| f.image == report.image) {
            line(&mut out, "  policy  ", &finding.to_string());
            line(&mut out, "  fix     ", &finding.suggestion);
        }
        for note in words::notes(report) {
            line(&mut out, "  note    ", &note);
        }
    }
    cards(&mut out, &planned.cards);
    line(&mut out, "", &words::summary(planned));
    out
}

/// What is done for the cards that are ordered.
fn cards(out: &mut String, plan: &CardPlan) {
    for step in &plan.steps {
        line(out, "", &step.job.to_string());
        line(out, "  because ", &step.reason.to_string());
    }
    for card in &plan.others {
        line(out, "", &format!("card in {} by {}: {}", card.slot, card.order, card.stands));
    }
}

fn one_step(out: &mut String, report: &ImageReport, step: &Step) {
    line(out, "", &format!("{}{}: {}", step.image, on_channel(report), words::action(&step.action)));
    let (shown, more) = words::first_reasons(&step.reasons, MOST_REASONS);
    for reason in shown {
        line(out, "  because ", &words::reason(reason));
    }
    if more > 0 {
        line(out, "  because ", &format!("… and {more} reasons more"));
    }
    for mend in words::mends(&step.action) {
        line(out, "  mend    ", &mend);
    }
    if let Action::Build { layers, .. } = &step.action
        && !layers.is_empty()
    {
        line(out, "  layers  ", &words::layers(layers));
    }
}

fn on_channel(report: &ImageReport) -> String {
    report.current.as_ref().map_or_else(String::new, |version| format!(" ({version})"))
}

fn line(out: &mut String, lead: &str, text: &str) {
    let _ = writeln!(out, "{lead}{}", words::clean(text));
}
