//! A plan as GitHub-flavoured Markdown, fit for a pull-request comment.
//!
//! Values, messages and subjects come from the pull request itself. They are shown inside
//! `<code>`, where GitHub makes no mentions, issue links or emoji, with every character
//! that means something to Markdown or HTML written as a numeric entity.

use super::words;
use crate::model::plan::{Action, ImageReport, Planned, Status, Step};
use crate::model::policy::Finding;
use std::fmt::Write;

/// GitHub refuses comments of more than 65,536 characters; the rest is for who posts it.
const LONGEST: usize = 60_000;

/// So many reasons are shown for one step.
const MOST_REASONS: usize = 60;

/// The plan as Markdown, at most 60,000 bytes long: a summary, a table of the images that
/// are not up to date, and foldable details of each step.
pub fn markdown(planned: &Planned) -> String {
    let mut out =
        format!("### Plan: {}\n\n{}\n", words::summary(planned), code(&words::source(&planned.plan.source)));
    if !planned.plan.store.is_empty() {
        out.push_str("\nIn the store:\n\n");
        let items = planned.plan.store.iter().map(|finding| format!("- {}\n", code(&words::store(finding))));
        append(&mut out, items, "findings");
    }
    let is_idle = |r: &&ImageReport| r.status == Status::UpToDate && words::notes(r).is_empty();
    let busy: Vec<&ImageReport> = planned.report.iter().filter(|r| !is_idle(r)).collect();
    if !busy.is_empty() {
        out.push_str("\n| Image | Released | What | Why |\n| --- | --- | --- | --- |\n");
        append(&mut out, busy.iter().map(|report| row(planned, report)), "table rows");
    }
    if !planned.findings.is_empty() {
        out.push_str("\n| Policy | Image | Rule | Finding | Where | What to do |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- |\n");
        append(&mut out, planned.findings.iter().map(finding), "findings");
    }
    if !planned.plan.steps.is_empty() {
        out.push('\n');
        append(&mut out, planned.plan.steps.iter().map(details), "steps' details");
    }
    if !planned.cards.steps.is_empty() {
        out.push_str("\nCards:\n\n");
        let items = planned.cards.steps.iter();
        let items =
            items.map(|s| format!("- {}: {}\n", code(&s.job.to_string()), code(&s.reason.to_string())));
        append(&mut out, items, "cards");
    }
    let idle: Vec<&ImageReport> = planned.report.iter().filter(is_idle).collect();
    if !idle.is_empty() {
        let _ = write!(out, "\n<details><summary>{} up to date</summary>\n\n", idle.len());
        append(&mut out, idle.iter().map(|report| format!("- {}\n", named(report))), "images");
        out.push_str("\n</details>\n");
    }
    out
}

/// Appends parts while there is room, and says how many were left out.
fn append(out: &mut String, parts: impl Iterator<Item = String>, what: &str) {
    let mut left_out = 0;
    for part in parts {
        if left_out == 0 && out.len() + part.len() <= LONGEST - 500 {
            out.push_str(&part);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "\n{left_out} more {what} are left out here; the plan in JSON has them.");
    }
}

fn row(planned: &Planned, report: &ImageReport) -> String {
    let released = report.current.as_ref().map_or_else(|| "–".to_owned(), |v| code(v.as_str()));
    let steps: Vec<&Step> = planned.plan.steps.iter().filter(|s| s.image == report.image).collect();
    let (what, mut whys) = match steps.as_slice() {
        [_, ..] => {
            let each = |of: &dyn Fn(&Step) -> String| steps.iter().map(|s| of(s)).collect::<Vec<_>>();
            (each(&|s| code(&words::action(&s.action))).join("<br>"), each(&why))
        }
        [] => match words::status(&report.status).split_once(": ") {
            Some((what, why)) => (what.to_owned(), vec![code(why)]),
            None => (words::status(&report.status), Vec::new()),
        },
    };
    whys.extend(words::notes(report).iter().map(|note| code(note)));
    format!("| {} | {released} | {what} | {} |\n", code(report.image.as_str()), whys.join("<br>"))
}

fn finding(finding: &Finding) -> String {
    let place = match &finding.field {
        Some(field) => format!("{field} at {}", finding.place),
        None => finding.place.to_string(),
    };
    let cells = [
        finding.image.as_str(),
        &format!("{} at {}", finding.rule, finding.policy),
        &finding.words(),
        &place,
        &finding.suggestion,
    ];
    let cells: Vec<String> = cells.iter().map(|cell| code(cell)).collect();
    format!("| {} | {} |\n", finding.severity.as_str(), cells.join(" | "))
}

/// The first reason, and how many more.
fn why(step: &Step) -> String {
    let first = step.reasons.first().map_or_else(String::new, |r| code(&words::reason(r)));
    match step.reasons.len() {
        0 | 1 => first,
        n => format!("{first} and {} more", n - 1),
    }
}

fn details(step: &Step) -> String {
    let mut out = format!(
        "<details><summary>{}: {}</summary>\n\n",
        code(step.image.as_str()),
        code(&words::action(&step.action))
    );
    let (shown, more) = words::first_reasons(&step.reasons, MOST_REASONS);
    for reason in shown {
        let _ = writeln!(out, "- {}", code(&words::reason(reason)));
    }
    if more > 0 {
        let _ = writeln!(out, "- and {more} reasons more");
    }
    for mend in words::mends(&step.action) {
        let _ = writeln!(out, "- {}", code(&mend));
    }
    if let Action::Build { layers, .. } = &step.action
        && !layers.is_empty()
    {
        let _ = write!(out, "\nLayers: {}\n", code(&words::layers(layers)));
    }
    out.push_str("\n</details>\n");
    out
}

fn named(report: &ImageReport) -> String {
    let version = report.current.as_ref().map_or_else(String::new, |v| format!(" {}", code(v.as_str())));
    format!("{}{version}", code(report.image.as_str()))
}

/// Any text as inline code that stays text.
fn code(text: &str) -> String {
    let escaped = words::clean(text).chars().fold(String::new(), |mut out, c| {
        if c.is_alphanumeric() || c == ' ' || c == '-' {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", u32::from(c));
        }
        out
    });
    format!("<code>{escaped}</code>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::{CatalogSource, Commit};
    use crate::model::plan::{Plan, Reason};
    use chrono::DateTime;

    fn planned(subject: &str, images: usize, reasons: usize) -> Planned {
        let names = (0..images).map(|n| format!("image-{n:04}").parse().unwrap());
        let step = |image| Step {
            image,
            action: Action::Lock,
            reasons: (0..reasons)
                .map(|n| Reason::ChangedField {
                    field: format!("f{n}"),
                    from: subject.to_owned(),
                    to: "x".repeat(60),
                    origin: None,
                })
                .collect(),
        };
        let steps: Vec<Step> = names.map(step).collect();
        let report = steps
            .iter()
            .map(|s| ImageReport {
                image: s.image.clone(),
                current: None,
                status: Status::Planned,
                stale: None,
                damaged: None,
                lost: Vec::new(),
                room: None,
            })
            .collect();
        let commit = Commit { id: "0".repeat(40), date: DateTime::UNIX_EPOCH, subject: subject.to_owned() };
        let source = CatalogSource { location: "catalog".to_owned(), commit: Some(commit) };
        let plan = Plan { source, made: DateTime::UNIX_EPOCH, store: Vec::new(), steps };
        Planned { plan, report, findings: Vec::new(), cards: Default::default() }
    }

    #[test]
    fn nothing_from_a_catalog_is_markdown_or_html() {
        for hostile in [
            "</code></details><script>alert(1)</script>",
            "![x](http://evil.example/x.png)",
            "a | b | c\n\n# heading\n- [ ] @somebody #1 :tada:",
            "```\n&lt;img src=x onerror=alert(1)&gt;",
            "www.evil.example **b** _i_ ~~s~~ $x$ \u{202e}txt.exe \u{1b}[2J",
        ] {
            let text = markdown(&planned(hostile, 1, 2));
            let own = ["br", "code", "/code", "details", "/details", "summary", "/summary"];
            for tag in text.split('<').skip(1) {
                let name = tag.split('>').next().unwrap();
                assert!(own.contains(&name), "{hostile:?} made <{name}>");
            }
            for mark in
                ["@", "[", "`", "http:", "www.", "**", "onerror=", "\u{202e}", "\u{1b}", " #1", ":tada"]
            {
                assert!(!text.contains(mark), "{hostile:?} left {mark:?} in {text}");
            }
            let rows: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
            assert_eq!(rows.len(), 3);
            assert!(rows.iter().all(|row| row.matches('|').count() == 5), "{rows:?}");
        }
    }

    #[test]
    fn a_comment_stays_within_githubs_limit() {
        for (images, reasons) in [(1, 5000), (3000, 1), (500, 50)] {
            let text = markdown(&planned(&"*".repeat(60), images, reasons));
            assert!(text.len() <= LONGEST, "{}", text.len());
            assert!(text.contains("left out") || text.contains("reasons more"));
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        }
    }
}
