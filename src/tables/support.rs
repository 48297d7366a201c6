//! What can be done with each distribution, and which test shows it: `docs/distributions.md`.
//!
//! A cell names the tests that show what it says; a cell without one says what is missing.
//! `tests/it/support.rs` looks whether those tests are there, and whether the cells agree with
//! what the code takes and refuses.

use super::read;
use crate::model::spec::Base;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// What can be done with one distribution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Support {
    /// Exact packages with digests, by its own package manager.
    pub lock: Cell,
    /// A root filesystem by its own package manager: outputs `oci` and `rootfs`.
    pub native: Cell,
    /// A root filesystem from a Containerfile, by buildah, podman or docker.
    pub containerfile: Cell,
    /// A live ISO.
    pub iso: Cell,
    /// How the live system puts its layers together.
    pub stacking: Cell,
    /// A disk image.
    pub disk: Cell,
    /// How a finished image is proved.
    pub verified: Cell,
}

/// One cell.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What there is, or what is missing.
    pub says: String,
    /// The tests that show it, by their paths (`pipeline::from_a_commit_…`); empty if it is
    /// not there.
    #[serde(default)]
    pub shown: Vec<String>,
}

impl Cell {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        !self.shown.is_empty()
    }
}

static SUPPORT: LazyLock<BTreeMap<Base, Support>> =
    LazyLock::new(|| read("what can be done with distributions", include_str!("support.yaml")));

/// What can be done with a distribution.
pub fn support(base: Base) -> Option<&'static Support> {
    SUPPORT.get(&base)
}

/// By field, then by value.
type Values = BTreeMap<String, BTreeMap<String, Cell>>;

static VALUES: LazyLock<Values> = LazyLock::new(|| read("values", include_str!("values.yaml")));

/// What was seen of each value of requirement 1, section 4.2: field, value, cell.
pub fn values() -> impl Iterator<Item = (&'static str, &'static str, &'static Cell)> {
    VALUES
        .iter()
        .flat_map(|(field, values)| values.iter().map(|(value, cell)| (field.as_str(), value.as_str(), cell)))
}

impl Support {
    /// The cells with their headings, in the order of the page.
    pub fn cells(&self) -> [(&'static str, &Cell); 7] {
        [
            ("lock", &self.lock),
            ("native", &self.native),
            ("containerfile", &self.containerfile),
            ("iso", &self.iso),
            ("stacking", &self.stacking),
            ("disk", &self.disk),
            ("verified how", &self.verified),
        ]
    }
}

const ABOUT: &str =
    "<!-- Made from src/tables/support.yaml by `UPDATE=1 cargo test --lib tables::support`; do not edit. -->
# What can be done with each distribution

No cell says more than a test shows: the numbers name the tests below the table, and a test
looks whether they are there and whether specs are taken and refused accordingly. Where only
small made-up packages were installed, the cell says so. A dash means: not yet, and why.

";

/// The text of `docs/distributions.md`.
pub fn support_page() -> String {
    let mut text = String::from(ABOUT);
    let mut tests: Vec<&str> = Vec::new();
    for (row, (base, support)) in SUPPORT.iter().enumerate() {
        let cells = support.cells();
        if row == 0 {
            let heads: Vec<&str> = cells.iter().map(|(head, _)| *head).collect();
            let _ = writeln!(text, "| distribution | {} |", heads.join(" | "));
            let _ = writeln!(text, "|---|{}", "---|".repeat(cells.len()));
        }
        let _ = write!(text, "| {} |", base.title());
        for (_, cell) in cells {
            let _ = write!(text, " {} |", written(cell, &mut tests));
        }
        text.push('\n');
    }
    text.push_str("\n## Values\n\n");
    text.push_str(
        "What was seen of each value of requirement 1, section 4.2, in a built root or a booted system.\n\n",
    );
    text.push_str("| field | value | what was seen |\n|---|---|---|\n");
    for (field, value, cell) in values() {
        let _ = writeln!(text, "| `{field}` | `{value}` | {} |", written(cell, &mut tests));
    }
    text.push_str("\n## The tests\n\n");
    for (place, test) in tests.iter().enumerate() {
        let _ = writeln!(text, "{}. `{test}`", place + 1);
    }
    text
}

/// A cell with the numbers of its tests.
fn written<'a>(cell: &'a Cell, tests: &mut Vec<&'a str>) -> String {
    let mut numbers = Vec::new();
    for test in &cell.shown {
        let place = tests.iter().position(|t| t == test).unwrap_or_else(|| {
            tests.push(test);
            tests.len() - 1
        });
        numbers.push((place + 1).to_string());
    }
    match cell.is_there() {
        true => format!("{} [{}]", cell.says, numbers.join(", ")),
        false => format!("— {}", cell.says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_current() {
        crate::catalog::assert_current("docs/distributions.md", &support_page());
    }

    #[test]
    fn every_distribution_has_a_row() {
        assert!(Base::all().all(|base| support(base).is_some()));
    }
}
