//! What `cache` says.

use super::{Table, bytes, count, moment};
use crate::build::cache::prune::{Choice, Why};
use crate::cli::terminal::{Palette, clean};
use crate::ops::caches::{CacheListReport, CachePruneReport, CacheVerifyReport};

pub fn list(report: &CacheListReport, palette: Palette) -> String {
    let mut table = Table::new(["kind", "entries", "size", "last used", "longest unused"]);
    for total in &report.kinds {
        let when = |time: Option<_>| time.map_or_else(|| "-".to_owned(), moment);
        table.row([
            total.kind.to_string(),
            total.entries.to_string(),
            bytes(total.bytes),
            when(total.newest_use),
            when(total.oldest_use),
        ]);
    }
    let kinds: u64 = report.kinds.iter().map(|total| total.bytes).sum();
    format!(
        "{}{} in {}, {} of work in progress; the folder has {}\n",
        table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell }),
        palette.strong(&bytes(kinds)),
        clean(&report.path.display().to_string()),
        bytes(report.work_bytes),
        bytes(report.total_bytes)
    )
}

pub fn prune(report: &CachePruneReport, palette: Palette) -> String {
    let pruned = &report.pruned;
    let mut out = String::new();
    let mut rows = Table::new(["kind", "name", "size", "last used", "why"]);
    let mut add = |choice: &Choice, held: bool| {
        let why = match (held, choice.why, choice.needed) {
            (true, ..) => "in use: left",
            (_, Why::Age, _) => "age",
            (_, Why::Size, true) => "size, though a recipe needs it",
            (_, Why::Size, false) => "size",
        };
        rows.row([
            choice.kind.to_string(),
            choice.name.chars().take(24).collect(),
            bytes(choice.bytes),
            moment(choice.last_use),
            why.to_owned(),
        ]);
    };
    pruned.removed.iter().for_each(|choice| add(choice, false));
    pruned.in_use.iter().for_each(|choice| add(choice, true));
    if pruned.removed.len() + pruned.in_use.len() > 0 {
        out.push_str(&rows.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell }));
    }
    if pruned.swept > 0 {
        out.push_str(&format!("removed {} of processes that are gone\n", count(pruned.swept, "folder")));
    }
    let verb = if report.dry_run { "would remove" } else { "removed" };
    out.push_str(&format!(
        "{verb} {} ({}), {} left\n",
        count(pruned.removed.len(), "entry").replace("entrys", "entries"),
        palette.strong(&bytes(pruned.freed_bytes)),
        bytes(pruned.left_bytes)
    ));
    out
}

pub fn verify(report: &CacheVerifyReport, palette: Palette) -> String {
    let verified = &report.verified;
    let mut out = String::new();
    for damage in &verified.damaged {
        let end = if damage.dropped { "removed" } else { "in use: left" };
        let name: String = damage.name.chars().take(24).collect();
        out.push_str(&format!(
            "{} {} {}: {}; {end}\n",
            palette.bad("damaged"),
            damage.kind,
            clean(&name),
            clean(&damage.what)
        ));
    }
    let words = match verified.damaged.len() {
        0 => palette.good("all sound"),
        n => palette.bad(&format!("{n} damaged")),
    };
    let checked = count(verified.checked, "entry").replace("entrys", "entries");
    out.push_str(&format!("{checked}, {}: {words}\n", bytes(verified.bytes)));
    if verified.unsealed > 0 {
        let unsealed = count(verified.unsealed, "entry").replace("entrys", "entries");
        out.push_str(&format!(
            "{unsealed} of unfinished work or with checks of their own: not looked into\n"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::cache::Kind;
    use crate::build::cache::prune::Pruned;
    use crate::build::cache::verify::{Damage, Verified};
    use chrono::DateTime;

    #[test]
    fn what_was_left_is_told_with_its_reason() {
        let choice = Choice {
            kind: Kind::Layers,
            name: "0123\u{1b}[31m".to_owned(),
            bytes: 2048,
            last_use: DateTime::UNIX_EPOCH,
            why: Why::Size,
            needed: true,
        };
        let pruned = Pruned {
            removed: vec![choice.clone()],
            in_use: vec![choice],
            freed_bytes: 2048,
            left_bytes: 0,
            swept: 1,
        };
        let report = CachePruneReport { path: "/c".into(), dry_run: true, pruned };
        let text = prune(&report, Palette::default());
        assert!(text.contains("size, though a recipe needs it") && text.contains("in use: left"), "{text}");
        assert!(
            text.ends_with(
                "removed 1 folder of processes that are gone\nwould remove 1 entry (2.00 KiB), 0 B left\n"
            ),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn damage_is_named() {
        let damage = Damage {
            kind: Kind::Packages,
            name: "ab".to_owned(),
            what: "its bytes have another SHA-256".to_owned(),
            dropped: false,
        };
        let verified = Verified { checked: 2, bytes: 0, unsealed: 0, damaged: vec![damage] };
        let text = verify(&CacheVerifyReport { path: "/c".into(), verified }, Palette::default());
        assert_eq!(
            text,
            "damaged packages ab: its bytes have another SHA-256; in use: left\n2 entries, 0 B: 1 damaged\n"
        );
    }
}
