//! Card writers and flash orders: what no field's type can say.

use super::super::consumed::Reads;
use super::super::shape::nearest;
use super::{Report, doubled, text};
use crate::model::device::BoardName;
use crate::model::name::ImageName;
use crate::model::spec::{Architecture, Output};
use crate::model::writer::{CardWriter, FlashOrder, OrderName, OrderedCard, Slot, WriterName};
use std::collections::{BTreeMap, BTreeSet};

/// What orders can name, if all of it is known.
pub type Ordered<'a> = Option<&'a Orderable>;

/// What a catalog makes that may go on a card.
pub struct Orderable {
    /// Its images.
    pub images: BTreeMap<ImageName, Reads>,
    /// The releases of its devices. Whether their firmware comes as a disk image, and for which
    /// board, the Image Builder knows: a card writer refuses what does not fit.
    pub devices: BTreeSet<ImageName>,
}

/// Checks a card writer by itself.
pub fn card_writer(report: &mut Report<'_>, writer: &CardWriter) {
    one_line(report, writer.metadata.description.as_deref());
    let slots = &writer.spec.slots;
    if slots.is_empty() {
        report.error("spec.slots", "the card writer has no slot", "Name its card readers.");
    }
    for (index, slot) in slots.iter().enumerate() {
        let at = format!("spec.slots[{index}]");
        if slots[..index].iter().any(|other| other.name == slot.name) {
            let message = format!("there are two slots with the name {}", slot.name);
            report.error(&format!("{at}.name"), message, "Choose another name.");
        }
        if let Some(other) = slots[..index].iter().find(|other| other.path == slot.path) {
            let message = format!("slot {} is at this port already", other.name);
            report.error(&format!("{at}.path"), message, "Each card reader has a port of its own.");
        }
        doubled(report, &format!("{at}.images"), &slot.images);
        doubled(report, &format!("{at}.boards"), &slot.boards);
        let architectures: Vec<&str> = slot.architectures.iter().map(|a| a.as_str()).collect();
        doubled(report, &format!("{at}.architectures"), &architectures);
    }
}

/// Checks a flash order against the writers, the images and the orders before it.
pub fn flash_order(
    report: &mut Report<'_>,
    order: &FlashOrder,
    made: Ordered<'_>,
    writers: &BTreeMap<WriterName, CardWriter>,
    others: &BTreeMap<OrderName, FlashOrder>,
) {
    one_line(report, order.metadata.description.as_deref());
    if order.spec.cards.is_empty() {
        report.error("spec.cards", "the order is for no card", "Say which image shall be in which slot.");
    }
    for (index, card) in order.spec.cards.iter().enumerate() {
        let at = format!("spec.cards[{index}]");
        match (&card.channel, &card.version) {
            (None, None) => report.error(
                &at,
                format!("nobody says which release of {} is written", card.image),
                "Write `channel: stable`, or `version:` for always the same one.",
            ),
            (Some(_), Some(_)) => report.conflict(
                &format!("{at}.version"),
                "channel and version both say which release is written",
                "Keep one of them.",
            ),
            _ => {}
        }
        let earlier = order.spec.cards[..index].iter().map(|other| (&order.metadata.name, other));
        let before = others.iter().flat_map(|(name, other)| other.spec.cards.iter().map(move |c| (name, c)));
        let same = |other: &&OrderedCard| other.writer == card.writer && other.slot == card.slot;
        if let Some((name, _)) = earlier.chain(before).find(|(_, other)| same(other)) {
            report.conflict(
                &format!("{at}.slot"),
                format!("slot {} of {} has something to carry by the order {name}", card.slot, card.writer),
                "A slot carries one image: take one of the two away.",
            );
        }
        let slot = slot_of(report, &at, card, writers);
        if let Some(made) = made.filter(|made| !made.devices.contains(&card.image)) {
            image_of(report, &at, card, slot, made);
        }
    }
}

fn slot_of<'w>(
    report: &mut Report<'_>,
    at: &str,
    card: &OrderedCard,
    writers: &'w BTreeMap<WriterName, CardWriter>,
) -> Option<&'w Slot> {
    let Some(writer) = writers.get(&card.writer) else {
        let names: Vec<&str> = writers.keys().map(WriterName::as_str).collect();
        let hint = nearest_of(card.writer.as_str(), &names, "Write a document of kind CardWriter for it.");
        report.error(&format!("{at}.writer"), format!("there is no card writer {}", card.writer), hint);
        return None;
    };
    let slots = &writer.spec.slots;
    let Some(slot) = slots.iter().find(|slot| slot.name == card.slot) else {
        let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
        let hint = nearest_of(card.slot.as_str(), &names, "Name it in the card writer's document.");
        let message = format!("{} has no slot {}", card.writer, card.slot);
        report.error(&format!("{at}.slot"), message, hint);
        return None;
    };
    let mut refuse = |field: &str, what: &str| {
        let message = format!("slot {} of {} does not carry {what}", card.slot, card.writer);
        report.conflict(
            &format!("{at}.{field}"),
            message,
            "Say so in the card writer's document, or order another.",
        );
    };
    if !slot.images.is_empty() && !slot.images.contains(&card.image) {
        refuse("image", card.image.as_str());
    }
    // Of a board and an architecture nobody knows here whether they go together.
    let boards = |slot: &Slot| slot.boards.iter().chain(&card.board).all(|board| !is_architecture(board));
    let other = card.board.as_ref().filter(|board| !slot.boards.is_empty() && !slot.boards.contains(board));
    if let Some(board) = other.filter(|_| boards(slot)) {
        refuse("board", board.as_str());
    }
    Some(slot)
}

/// Whether a demand for a board names an architecture, or every machine of one.
fn is_architecture(board: &BoardName) -> bool {
    let name = board.as_str();
    let name = name.strip_prefix("generic-").unwrap_or(name);
    [Architecture::X86_64, Architecture::Aarch64].iter().any(|one| one.as_str() == name)
}

fn image_of(report: &mut Report<'_>, at: &str, card: &OrderedCard, slot: Option<&Slot>, made: &Orderable) {
    let field = format!("{at}.image");
    let Some(reads) = made.images.get(&card.image) else {
        let names: Vec<&str> = made.images.keys().chain(&made.devices).map(ImageName::as_str).collect();
        let hint = nearest_of(card.image.as_str(), &names, "Add it with `bootwright new`.");
        return report.error(&field, format!("there is no image or device {}", card.image), hint);
    };
    let image = reads.subject(&card.image);
    if !image.outputs.iter().any(|output| matches!(output, Output::Disk | Output::Iso)) {
        let message = format!("{} has no output that goes on a card", card.image);
        report.conflict(&field, message, "Add `disk` or `iso` to its outputs.");
    }
    let is = reads.architecture();
    if let Some(wanted) = card.architecture.filter(|wanted| *wanted != is) {
        report.conflict(
            &format!("{at}.architecture"),
            format!("{} is for {}, not for {}", card.image, is.as_str(), wanted.as_str()),
            "Order an image for that architecture.",
        );
    }
    if slot.is_some_and(|slot| !slot.architectures.is_empty() && !slot.architectures.contains(&is)) {
        let message = format!("slot {} of {} does not carry {}", card.slot, card.writer, is.as_str());
        report.conflict(&field, message, "Say so in the card writer's document, or order another image.");
    }
}

fn nearest_of(name: &str, known: &[&str], otherwise: &str) -> String {
    nearest(name, known).map_or_else(|| otherwise.to_owned(), |near| format!("Did you mean {near}?"))
}

fn one_line(report: &mut Report<'_>, description: Option<&str>) {
    if description.is_some_and(|text| !text::is_one_line(text, 200)) {
        let message = "the description is not one line of at most 200 characters";
        report.error("metadata.description", message, "Write one short sentence.");
    }
}
