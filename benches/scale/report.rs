//! What was measured, as a table and as JSON.

use crate::child::Cost;
use serde::Serialize;
use std::fmt::Write as _;

/// One case of one catalog.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Images of the catalog.
    pub images: usize,
    /// What was measured.
    pub case: &'static str,
    /// Every measurement.
    pub costs: Vec<Cost>,
}

/// One run of the benchmark.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When it began (RFC 3339).
    pub date: String,
    /// How the program was compiled: `release` or `dev`.
    pub profile: &'static str,
    /// Processors of the machine.
    pub processors: usize,
    /// Packages of every lock.
    pub packages: usize,
    /// Whether the catalogs have a policy.
    pub policies: bool,
    /// Whether two keys that begin and end sign.
    pub dated_keys: bool,
    /// What was measured.
    pub rows: Vec<Row>,
}

impl Row {
    /// A row of at least one measurement.
    pub fn new(images: usize, case: &'static str, costs: &[Cost]) -> Self {
        Self { images, case, costs: costs.to_vec() }
    }

    /// Smallest and middle of one figure.
    fn of(&self, figure: impl Fn(&Cost) -> f64) -> (f64, f64) {
        let mut all: Vec<f64> = self.costs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        (all.first().copied().unwrap_or(f64::NAN), all.get(all.len() / 2).copied().unwrap_or(f64::NAN))
    }
}

impl Report {
    /// The table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "| images | case | wall s, least | wall s, median | CPU s, least | CPU s, median | peak MiB | µs CPU per image |\n\
             |--:|---|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in &self.rows {
            let ((wall, wall_median), (cpu, cpu_median)) = (row.of(|c| c.wall_s), row.of(|c| c.cpu_s));
            let peak = row.costs.iter().map(|c| c.peak_mib).fold(0.0, f64::max);
            let each = cpu * 1e6 / row.images.max(1) as f64;
            let _ = writeln!(
                text,
                "| {} | {} | {wall:.3} | {wall_median:.3} | {cpu:.3} | {cpu_median:.3} | {peak:.0} | {each:.0} |",
                row.images, row.case
            );
        }
        let _ = writeln!(
            text,
            "\n{}, {} build, {} processors, {} packages in every lock{}{}",
            self.date,
            self.profile,
            self.processors,
            self.packages,
            if self.policies { ", a policy of ten rules" } else { "" },
            if self.dated_keys { ", two dated keys, both needed" } else { "" }
        );
        text
    }
}
