//! What `flash` says.

use super::{Table, bytes, count, moment};
use crate::cli::error::one_line;
use crate::cli::terminal::{Palette, clean, duration};
use crate::model::flash::{CardReport, Device, FlashSource, VerifyScope};
use crate::model::record::{FlashRecord, FlashResult, Health};
use crate::ops::{CheckVerdict, FlashCheck, FlashHistory, FlashPlan, FlashReport};

/// What would be done, as `--dry-run` shows it and as it is shown before the question.
pub fn plan(plan: &FlashPlan, palette: Palette) -> String {
    let mut out = source(&plan.source, palette);
    for device in &plan.devices {
        out.push_str(&describe(device, palette));
    }
    let devices = count(plan.devices.len(), "device");
    out.push_str(&palette.poor(&format!("Everything on {devices} would be overwritten.")));
    out.push_str(&format!(
        "\n  first   probe: some marked blocks are written, read and put back\n  then    {} written{}, the first MiB last\n  last    {}\n",
        bytes(plan.source.image_size),
        if plan.wipe { " and the last MiB of the device cleared" } else { "" },
        match plan.verify {
            VerifyScope::All => "all of it read back and compared".to_owned(),
            VerifyScope::Prefix(size) => format!("the first {size} read back and compared, the rest believed"),
            VerifyScope::Nothing => "nothing read back: the card is believed".to_owned(),
        },
    ));
    out
}

fn source(source: &FlashSource, palette: Palette) -> String {
    let digest = match (&source.file_sha256, source.vouched) {
        (Some(digest), true) => format!("{digest}, as it should be"),
        (Some(digest), false) => format!("{digest}, which nobody vouched for"),
        (None, _) => "not checked against any digest".to_owned(),
    };
    let map = source.block_map.as_ref().map_or_else(String::new, |map| {
        let file = clean(&map.file.display().to_string());
        format!("  map     {file}: {} hold data, all else is made zero\n", bytes(map.mapped))
    });
    format!(
        "{}\n  file    {} ({}, {})\n  digest  {digest}\n  image   {}\n{map}",
        palette.strong(&clean(&source.name)),
        clean(&source.file.display().to_string()),
        source.packing,
        bytes(source.file_size),
        bytes(source.image_size),
    )
}

fn describe(device: &Device, palette: Palette) -> String {
    let said = |text: &Option<String>| text.as_deref().map_or_else(|| "not said".to_owned(), clean);
    let mut out = format!(
        "{}\n  size    {} (blocks of {} bytes)\n  vendor  {}\n  model   {}\n  serial  {}\n",
        palette.strong(&clean(&device.path.display().to_string())),
        bytes(device.size),
        device.block_size,
        said(&device.vendor),
        said(&device.model),
        said(&device.serial),
    );
    if let Some(filesystem) = &device.filesystem {
        out.push_str(&format!("  holds   {}\n", clean(filesystem)));
    }
    for partition in &device.partitions {
        out.push_str(&format!(
            "  {}  {}, {}\n",
            clean(&partition.name),
            bytes(partition.size),
            partition.filesystem.as_deref().map_or_else(|| "no file system that is known".to_owned(), clean),
        ));
    }
    if device.filesystem.is_none() && device.partitions.is_empty() {
        out.push_str("  holds   nothing that is known\n");
    }
    out
}

/// What came of it.
pub fn report(report: &FlashReport, palette: Palette) -> String {
    let mut out = String::new();
    for card in &report.cards {
        out.push_str(&of_card(card, palette));
    }
    if let Some(digest) = report.image_digest {
        out.push_str(&format!("image {digest}, {}\n", bytes(report.source.image_size)));
    }
    let good = report.cards.iter().filter(|card| card.good).count();
    out.push_str(&format!(
        "{good} of {} good, {}\n",
        count(report.cards.len(), "card"),
        duration(report.elapsed_ms)
    ));
    out
}

fn of_card(card: &CardReport, palette: Palette) -> String {
    let name = palette.strong(&clean(&card.device.path.display().to_string()));
    let mut out = match (card.good, card.verify) {
        (false, _) => format!("{name}  {}", palette.bad("not good")),
        (true, VerifyScope::All) => format!("{name}  {}  read back and compared", palette.good("good")),
        (true, VerifyScope::Prefix(_)) => {
            format!(
                "{name}  {}  only the first {} were read back",
                palette.poor("written"),
                bytes(card.verified)
            )
        }
        (true, VerifyScope::Nothing) => {
            format!("{name}  {}  nothing was read back", palette.poor("written"))
        }
    };
    out.push_str(&format!(
        "\n  written {}, zeroed by the device {}, zero already {}; {} and {} for reading back\n",
        bytes(card.written),
        bytes(card.zeroed),
        bytes(card.found_zero),
        duration(card.write_ms),
        duration(card.verify_ms),
    ));
    if let Some(failure) = &card.failure {
        out.push_str(&format!("  {}\n", one_line(failure)));
        out.push_str(&match card.bootable {
            true => format!("  {}\n", palette.poor("its beginning could not be taken back: it may boot")),
            false => "  it does not boot from this image\n".to_owned(),
        });
        if let Some(hint) = &failure.hint {
            out.push_str(&format!("  {}\n", clean(hint)));
        }
    }
    if card.bad_blocks > 0 {
        let first = card.first_bad.map(|at| format!(", the first at byte {at}")).unwrap_or_default();
        out.push_str(&format!(
            "  {} of 1 MiB wrong{first}\n",
            count(usize::try_from(card.bad_blocks).unwrap_or(usize::MAX), "block")
        ));
    }
    if card.repaired_blocks > 0 {
        out.push_str(&format!(
            "  {}\n",
            palette.poor(&format!(
                "{} had to be written twice: do not trust this card for long",
                count(usize::try_from(card.repaired_blocks).unwrap_or(usize::MAX), "block")
            ))
        ));
    }
    out
}

/// What was written to which card.
pub fn history(history: &FlashHistory, palette: Palette) -> String {
    if history.writes.is_empty() {
        return "No card was written, as far as is remembered here.\n".to_owned();
    }
    let mut table = Table::new(["when", "what", "slot", "card", "result", "took", "why"]);
    for record in &history.writes {
        table.row([
            moment(record.started),
            record.source.clone(),
            record.slot.clone(),
            record.card.clone().unwrap_or_else(|| "-".to_owned()),
            record.result.as_str().to_owned(),
            record.elapsed_ms().map_or_else(|| "-".to_owned(), duration),
            record.message.clone().unwrap_or_default(),
        ]);
    }
    let mut out = table.text(|row, column, cell| match history.writes.get(row.wrapping_sub(1)) {
        Some(record) if column == 4 => match record.result {
            FlashResult::Good => palette.good(&cell),
            FlashResult::Failed => palette.bad(&cell),
            FlashResult::Begun | FlashResult::Refused => palette.poor(&cell),
        },
        _ => cell,
    });
    for (what, healths) in [("card", &history.cards), ("reader", &history.slots)] {
        if !healths.is_empty() {
            out.push_str(&format!("\n{}", of_health(what, healths)));
        }
    }
    out
}

fn of_health(what: &str, healths: &[Health]) -> String {
    let mut table = Table::new([what, "writes", "good", "failed", "unhealthy", "last fault"]);
    for health in healths {
        table.row([
            health.name.clone(),
            health.writes.to_string(),
            health.good.to_string(),
            health.failed.to_string(),
            health.unhealthy.to_string(),
            health.last_fault.map_or("", |fault| fault.words()).to_owned(),
        ]);
    }
    table.plain()
}

/// What a booted device is.
pub fn check(check: &FlashCheck, palette: Palette) -> String {
    let of = |record: &FlashRecord| {
        format!("{}, written {} in {}", clean(&record.source), moment(record.started), clean(&record.slot))
    };
    let said = match check.verdict {
        CheckVerdict::Same => palette.good("the device runs what was written"),
        CheckVerdict::Alike => palette
            .good("the device runs the release of OpenWrt that was written; its packages it does not say"),
        CheckVerdict::Other => palette.bad("the device runs another release"),
        CheckVerdict::Unknown => palette.bad("the device runs what nobody wrote, as far as is known here"),
    };
    let mut out = format!("{said}\n  says      {}\n", clean(&check.reported));
    for (what, record) in [("expected", &check.expected), ("found   ", &check.found)] {
        if let Some(record) = record {
            out.push_str(&format!("  {what}  {}\n", of(record)));
        }
    }
    out
}
