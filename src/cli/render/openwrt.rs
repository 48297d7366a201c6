//! What `openwrt` says.

use super::{Table, bytes, count, moment};
use crate::build::cache::prune::Why;
use crate::cli::terminal::{Palette, clean};
use crate::ops::openwrt::builders::{
    BuilderEnsureReport, BuilderListReport, BuilderPruneReport, BuilderVerifyReport, ListedBuilder,
    PrunedBuilder,
};

pub fn ensure(report: &BuilderEnsureReport, palette: Palette) -> String {
    let builder = &report.builder;
    let how = match (report.made, report.asked) {
        (true, _) => "fetched and unpacked",
        (false, true) => "is here",
        (false, false) => "is here; no server was asked",
    };
    let path = builder.path.as_ref().map(|path| clean(&path.display().to_string())).unwrap_or_default();
    format!(
        "{} {how}\n  archive  sha256:{}\n  signed   {}\n  from     {}\n  folder   {path}\n",
        palette.strong(&format!("Image Builder of {} {}", builder.release, builder.platform)),
        builder.sha256.hex(),
        signers(builder, palette),
        clean(&builder.url),
    )
}

fn signers(builder: &ListedBuilder, palette: Palette) -> String {
    match builder.signed_by.is_empty() {
        true => palette.bad("by nobody"),
        false => clean(&builder.signed_by.join(", ")),
    }
}

pub fn list(report: &BuilderListReport, palette: Palette) -> String {
    let mut table = Table::new(["release", "target", "state", "size", "last used", "archive", "signed"]);
    for builder in &report.builders {
        table.row([
            builder.release.to_string(),
            builder.platform.to_string(),
            builder.state.as_str().to_owned(),
            bytes(builder.bytes),
            moment(builder.last_use),
            builder.sha256.short(),
            if builder.signed_by.is_empty() { "no".to_owned() } else { "yes".to_owned() },
        ]);
    }
    format!(
        "{}{}, {}\n",
        table.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell }),
        count(report.builders.len(), "Image Builder"),
        palette.strong(&bytes(report.total_bytes)),
    )
}

pub fn verify(report: &BuilderVerifyReport, palette: Palette) -> String {
    let mut out = String::new();
    for damage in &report.damaged {
        let end = if damage.dropped { "removed" } else { "in use: left" };
        out.push_str(&format!(
            "{} {}: {}; {end}\n",
            palette.bad("damaged"),
            clean(&damage.builder),
            clean(&damage.what)
        ));
    }
    let words = match report.damaged.len() {
        0 => palette.good("all sound"),
        n => palette.bad(&format!("{n} damaged")),
    };
    out.push_str(&format!("{}, {}: {words}\n", count(report.checked, "Image Builder"), bytes(report.bytes)));
    out
}

pub fn prune(report: &BuilderPruneReport, palette: Palette) -> String {
    let mut rows = Table::new(["builder", "archive", "size", "last used", "why"]);
    let mut add = |builder: &PrunedBuilder, held: bool| {
        let why = match (held, builder.why) {
            (true, _) => "in use: left",
            (false, Why::Age) => "age",
            (false, Why::Size) => "size",
        };
        rows.row([
            builder.builder.clone(),
            builder.sha256.chars().take(8).collect(),
            bytes(builder.bytes),
            moment(builder.last_use),
            why.to_owned(),
        ]);
    };
    report.removed.iter().for_each(|builder| add(builder, false));
    report.in_use.iter().for_each(|builder| add(builder, true));
    let mut out = match report.removed.len() + report.in_use.len() {
        0 => String::new(),
        _ => rows.text(|row, _, cell| if row == 0 { palette.faint(&cell) } else { cell }),
    };
    let verb = if report.dry_run { "would remove" } else { "removed" };
    out.push_str(&format!(
        "{verb} {} ({}), {} left\n",
        count(report.removed.len(), "Image Builder"),
        palette.strong(&bytes(report.freed_bytes)),
        bytes(report.left_bytes)
    ));
    out
}
