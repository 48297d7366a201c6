//! What was measured, as a table and as JSON.

use crate::measure::Cost;
use serde::Serialize;
use std::fmt::Write as _;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Everything anew, from a warm package cache.
    Full,
    /// After one line of an overlay file has changed.
    Change,
}

/// One tool in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The tool and its compression.
    pub tool: String,
    /// The case.
    pub case: Case,
    /// What it cost.
    #[serde(flatten)]
    pub cost: Cost,
    /// Size of the ISO in bytes.
    pub iso_bytes: u64,
    /// Packages installed in the image.
    pub packages: usize,
    /// What its time went into, where it is known.
    pub parts: Vec<Part>,
}

/// A part of a row's time. Parts may run beside one another.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// What was done.
    pub label: String,
    /// For how long, in seconds.
    pub wall_s: f64,
    /// CPU seconds, where they can be told apart.
    pub cpu_s: Option<f64>,
    /// What came of it.
    pub outcome: String,
}

impl Part {
    /// A part that was measured by itself.
    pub fn of(label: impl Into<String>, cost: Cost) -> Self {
        Self { label: label.into(), wall_s: cost.wall_s, cpu_s: Some(cost.cpu_s), outcome: String::new() }
    }
}

/// One run of the comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began (RFC 3339).
    pub date: String,
    /// The commit of Bootwright.
    pub commit: String,
    /// How Bootwright was compiled: `release` or `dev`.
    pub profile: &'static str,
    /// Processors of the machine.
    pub processors: usize,
    /// What was measured.
    pub rows: Vec<Row>,
}

impl Report {
    /// The table in Markdown. Ratios are to Bootwright's first row of the same case.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| case | tool | wall s | ratio | CPU s | ratio | others' CPU s | ISO MiB | ratio | packages |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for case in [Case::Full, Case::Change] {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.case == case).collect();
            let ours = rows.iter().find(|row| row.tool.starts_with("Bootwright"));
            for row in &rows {
                let (first, cost) = (ours.unwrap_or(&rows[0]), row.cost);
                let _ = writeln!(
                    text,
                    "| {} | {} | {:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} | {:.2} | {} |",
                    if case == Case::Full { "full" } else { "change" },
                    row.tool,
                    cost.wall_s,
                    cost.wall_s / first.cost.wall_s,
                    cost.cpu_s,
                    cost.cpu_s / first.cost.cpu_s,
                    cost.others_s,
                    row.iso_bytes as f64 / f64::from(1 << 20),
                    row.iso_bytes as f64 / first.iso_bytes as f64,
                    row.packages,
                );
            }
        }
        text
    }

    /// Where the time of each row went.
    pub fn parts(&self) -> String {
        let mut text = String::new();
        for row in self.rows.iter().filter(|row| !row.parts.is_empty()) {
            let _ = writeln!(text, "{}, {:?}:", row.tool, row.case);
            for part in &row.parts {
                let cpu = part.cpu_s.map_or_else(|| " ".repeat(11), |s| format!("{s:7.2} CPU"));
                let _ = writeln!(text, "  {:7.2} s {cpu}  {}  {}", part.wall_s, part.label, part.outcome);
            }
        }
        text
    }
}
