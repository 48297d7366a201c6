//! What `key …` says.

use super::{Table, moment};
use crate::cli::terminal::{Palette, clean};
use crate::ops::{KeyChange, KeyList};
use crate::release::keys::Term;

pub fn list(report: &KeyList, palette: Palette) -> String {
    let mut out = String::new();
    if report.keys.is_empty() {
        out.push_str("the catalog has no signing key\n");
    } else {
        let mut table = Table::new(["key", "id", "stands", "from", "until", "private key"]);
        for key in &report.keys {
            table.row([
                key.name.clone(),
                key.id.short(),
                key.term.to_string(),
                key.from.map_or_else(|| "always".to_owned(), moment),
                key.until.map_or_else(|| "no end".to_owned(), moment),
                if key.here { "on this host" } else { "not here" }.to_owned(),
            ]);
        }
        out.push_str(&table.text(|row, column, cell| match (row, column) {
            (0, _) => palette.faint(&cell),
            (row, 2) => match report.keys[row - 1].term {
                Term::Active => palette.good(&cell),
                Term::Ahead => palette.faint(&cell),
                Term::Retired => palette.poor(&cell),
            },
            _ => cell,
        }));
        let needed = report.threshold;
        out.push_str(&format!("{needed} of them must have signed a release\n"));
    }
    for problem in &report.problems {
        out.push_str(&format!("{}\n", palette.bad(&clean(problem))));
    }
    out
}

pub fn change(report: &KeyChange, palette: Palette) -> String {
    let mut out = String::new();
    if let Some(key) = &report.made {
        let lock =
            if key.encrypted { "protected by the passphrase" } else { "not protected by a passphrase" };
        out.push_str(&format!(
            "private key: {} ({lock}; never commit it)\npublic key:  {}\n\n",
            clean(&key.private.display().to_string()),
            clean(&key.public.display().to_string())
        ));
    }
    for edit in &report.edits {
        out.push_str(&format!(
            "{}\n\n{}\n",
            palette.strong(&format!("In bootwright.yaml, {}:", edit.place)),
            edit.lines
        ));
    }
    out.push_str(&format!("{}\n", report.then));
    out
}
