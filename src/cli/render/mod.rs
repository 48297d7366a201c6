//! Reports as text for people. Everything that comes from outside is cleaned here.

pub mod cache;
pub mod catalog;
pub mod doctor;
pub mod explain;
pub mod firmware;
pub mod flash;
pub mod keys;
pub mod openwrt;
pub mod packages;
pub mod plan;
pub mod profiles;
pub mod prompt;
pub mod release;
pub mod topic;
pub mod writers;

use super::terminal::clean;
use crate::model::spec::Size;
use chrono::{DateTime, Utc};

/// Rows of cells, each column as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.iter().map(|h| h.to_uppercase()).collect()] }
    }

    /// Adds one row; cells are cleaned.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The table as text, one line a row; `paint` may colour a padded cell by its row
    /// (0 is the heading) and column, without changing its width.
    pub(super) fn text(&self, paint: impl Fn(usize, usize, String) -> String) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (y, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (x, cell) in row.iter().enumerate() {
                let last = x + 1 == row.len();
                let padded = if last { cell.clone() } else { format!("{cell:<0$}", widths[x]) };
                line.push_str(&paint(y, x, padded));
                if !last {
                    line.push_str("  ");
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// The table as text without colours.
    pub(super) fn plain(&self) -> String {
        self.text(|_, _, cell| cell)
    }
}

/// A moment, to the minute.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A number of bytes, to three digits.
pub(super) fn bytes(bytes: u64) -> String {
    Size::from_bytes(bytes).to_string()
}

/// A difference in bytes, with its sign.
pub(super) fn byte_delta(delta: i64) -> String {
    format!("{}{}", if delta < 0 { "-" } else { "+" }, bytes(delta.unsigned_abs()))
}

/// `1 image`, `2 images`.
pub(super) fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_clean() {
        let mut table = Table::new(["name", "size"]);
        table.row(["gw".to_owned(), "1".to_owned()]);
        table.row(["Größe\u{1b}[31m\n".to_owned(), "22".to_owned()]);
        assert_eq!(table.plain(), "NAME    SIZE\ngw      1\nGröße   22\n");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(byte_delta(-2048), "-2.00 KiB");
        assert_eq!(byte_delta(0), "+0 B");
        assert_eq!(byte_delta(i64::MIN).chars().next(), Some('-'));
        assert_eq!(count(1, "image"), "1 image");
        assert_eq!(count(0, "image"), "0 images");
    }
}
