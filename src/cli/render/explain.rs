//! What `explain` says.

use super::Table;
use crate::catalog::ValueOrigin;
use crate::cli::terminal::{Palette, clean, clean_lines};
use crate::ops::ExplainReport;

/// The whole image as a document, each value with its origin in a comment.
pub fn document(report: &ExplainReport) -> String {
    let mut out = format!("# {}, {}\n", report.image, clean(&report.resolved.place));
    if let Some(recipe) = &report.recipe {
        out.push_str(&format!("# recipe {recipe}\n"));
    }
    for line in clean_lines(&report.resolved.document) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Some values, each with its origin and the way that it came.
pub fn origins(report: &ExplainReport, palette: Palette) -> String {
    let mut table = Table::new(["field", "value", "origin", "through"]);
    for value in &report.resolved.values {
        let through = match &value.origin {
            ValueOrigin::File { through, .. } => through.join(", "),
            ValueOrigin::Level { .. } | ValueOrigin::Default => String::new(),
        };
        let shown = value.value.as_str().map_or_else(|| value.value.to_string(), str::to_owned);
        table.row([clean(&value.field), clean(&shown), clean(&value.origin.to_string()), clean(&through)]);
    }
    format!("{}\n\n{}", palette.strong(report.image.as_str()), table.plain())
}
