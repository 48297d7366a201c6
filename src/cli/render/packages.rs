//! `packages` as text.

use super::Table;
use crate::cli::terminal::{Palette, clean};
use crate::ops::{ContainerfileReport, PackageCell, PackageRow, PackagesReport};
use std::fmt::Write as _;

/// One line a name where one distribution was asked for, else one table a name.
pub fn packages(report: &PackagesReport, _: Palette) -> String {
    let mut out = String::new();
    if report.rows.iter().all(|row| row.on.len() == 1) && !report.rows.is_empty() {
        out.push_str(&one_distribution(&report.rows));
    } else if report.rows.len() > 12 {
        out.push_str(&many(&report.rows));
    } else {
        for row in &report.rows {
            out.push_str(&one_name(row));
            out.push('\n');
        }
    }
    for unknown in &report.unknown {
        let _ = write!(
            out,
            "{} is in no table: it is taken as the distribution's own name.",
            clean(&unknown.name)
        );
        if !unknown.near.is_empty() {
            let _ = write!(out, " Written nearly like it: {}.", unknown.near.join(", "));
        }
        out.push('\n');
    }
    out
}

/// The Containerfile itself, or where it was written.
pub fn containerfile(report: &ContainerfileReport, palette: Palette) -> String {
    let mut out = String::new();
    if let Some(dir) = &report.dir {
        let dir = clean(&dir.display().to_string());
        let _ = writeln!(out, "wrote {} files to {dir}", report.files.len());
    }
    match &report.built {
        Some(built) => {
            let path = clean(&built.path.display().to_string());
            let by = clean(&built.engine_version);
            let _ = writeln!(out, "built {path} by {by} from {}", clean(&built.base));
            let _ = writeln!(out, "not reproducible: {}", built.why);
        }
        None if report.dir.is_none() => return report.text.clone(),
        None => {}
    }
    for warning in &report.warnings {
        let _ = writeln!(out, "{} {}", palette.poor("note:"), clean(warning));
    }
    out
}

fn one_distribution(rows: &[PackageRow]) -> String {
    let mut table = Table::new(["name", "category", "here", "notes"]);
    for row in rows {
        for cell in row.on.values() {
            table.row([row.name.clone(), row.category.clone(), names(cell), notes(cell)]);
        }
    }
    table.plain()
}

fn one_name(row: &PackageRow) -> String {
    let also = if row.also.is_empty() { String::new() } else { format!(" (also {})", row.also.join(", ")) };
    let mut table = Table::new(["distribution", "here", "service", "notes"]);
    for (base, cell) in &row.on {
        let service = cell.service.clone().filter(|_| cell.missing.is_none()).unwrap_or_default();
        table.row([(*base).to_owned(), names(cell), service, notes(cell)]);
    }
    format!("{}{also}: {}\n{}", row.name, row.category, table.plain())
}

fn many(rows: &[PackageRow]) -> String {
    let bases: Vec<&str> = rows.first().map(|r| r.on.keys().copied().collect()).unwrap_or_default();
    let mut out =
        format!("{} names, for {}. `bootwright packages NAME` shows one.\n\n", rows.len(), bases.join(", "));
    let mut table = Table::new(["category", "name", "there", "not there"]);
    for row in rows {
        let missing = row.on.iter().filter(|(_, cell)| cell.missing.is_some());
        let missing: Vec<&str> = missing.map(|(base, _)| *base).collect();
        let there = row.on.len() - missing.len();
        table.row([
            row.category.clone(),
            row.name.clone(),
            format!("{there} of {}", row.on.len()),
            missing.join(", "),
        ]);
    }
    out.push_str(&table.plain());
    out
}

fn names(cell: &PackageCell) -> String {
    if cell.packages.is_empty() { "-".to_owned() } else { cell.packages.join(" ") }
}

fn notes(cell: &PackageCell) -> String {
    let mut notes = Vec::new();
    notes.extend(cell.missing.clone());
    if cell.group {
        notes.push("a group".to_owned());
    }
    notes.extend(cell.from.as_ref().map(|from| format!("from {from}, if the catalog allows it")));
    if !cell.architectures.is_empty() {
        notes.push(format!("{} only", cell.architectures.join(", ")));
    }
    notes.extend(cell.note.clone());
    if cell.missing.is_none() && cell.seen.is_none() {
        notes.push("nobody has checked the name".to_owned());
    }
    for (suite, other) in &cell.suites {
        let what = other.missing.clone().unwrap_or_else(|| names(other));
        notes.push(format!("{suite}: {what}"));
    }
    notes.join("; ")
}
