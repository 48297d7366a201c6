//! Card writers and flash orders: the documents of `runners/*.yaml`.

use super::super::check::{self, Report};
use super::super::diagnostic::Diagnostic;
use super::super::schema::Kind;
use super::super::source::Source;
use super::super::yaml::{self, Node};
use super::{Loader, is_runner};
use crate::catalog::consumed::Reads;
use crate::model::name::ImageName;
use crate::model::writer::{CardWriter, FlashOrder, OrderName, WriterName};
use std::collections::BTreeMap;

/// What `runners/` holds.
#[derive(Default)]
pub(super) struct Runners {
    pub writers: BTreeMap<WriterName, CardWriter>,
    pub orders: BTreeMap<OrderName, FlashOrder>,
}

impl<'a> Loader<'a> {
    /// Reads `runners/*.yaml`: writers first, because orders name them. With `judged`, what is
    /// wrong is complained about.
    pub(super) fn runners(&mut self, judged: bool) -> Runners {
        let files = self.files;
        let (unsure, before) = (self.names_unsure, self.found.len());
        let mut runners = Runners::default();
        let mut orders: Vec<(&'a str, &'a str)> = Vec::new();
        for (path, _) in files.iter().filter(|(path, _)| is_runner(path)) {
            let Some(text) = self.text(path) else { continue };
            let (documents, faults) = yaml::parse(text);
            let source = Source::new(path, text, &documents);
            self.found.extend(faults.iter().map(|f| source.fault(f)));
            if documents.is_empty() && faults.is_empty() {
                let hint = "Write a document of kind CardWriter or FlashOrder, or take the file away.";
                self.found.push(Diagnostic::of_file(path, "the file holds no document", hint));
            }
            for node in documents.iter().filter(|node| !is_order(node)) {
                self.writer(&source, node, &mut runners.writers);
            }
            if documents.iter().any(is_order) {
                orders.push((path, text));
            }
        }
        let others = self.others;
        let known = self.images.iter().map(|(name, document)| (name.clone(), Reads::of(document)));
        let images = known.chain(others.images.iter().map(|(n, r)| (n.clone(), r.clone()))).collect();
        let devices =
            self.devices.keys().map(ImageName::from).chain(others.devices.keys().cloned()).collect();
        let made = check::Orderable { images, devices };
        let made = (judged && self.specs_are_sound()).then_some(&made);
        for (path, text) in orders {
            let (documents, _) = yaml::parse(text);
            let source = Source::new(path, text, &documents);
            for node in documents.iter().filter(|node| is_order(node)) {
                self.order(&source, node, made, &mut runners);
            }
        }
        self.names_unsure = unsure;
        if !judged {
            self.found.truncate(before);
        }
        runners
    }

    fn writer(&mut self, source: &Source<'_>, node: &Node, writers: &mut BTreeMap<WriterName, CardWriter>) {
        if !self.is_kind(source, node, Kind::CardWriter) {
            return;
        }
        let (writer, mut report) = self.typed::<CardWriter>(source, node, Kind::CardWriter);
        if let Some(writer) = writer {
            check::card_writer(&mut report, &writer);
            twice(&mut report, "card writers", &writer.metadata.name, writers);
            writers.entry(writer.metadata.name.clone()).or_insert(writer);
        }
        self.found.extend(report.finish());
    }

    fn order(&mut self, source: &Source<'_>, node: &Node, made: check::Ordered<'_>, runners: &mut Runners) {
        let (order, mut report) = self.typed::<FlashOrder>(source, node, Kind::FlashOrder);
        if let Some(order) = order {
            check::flash_order(&mut report, &order, made, &runners.writers, &runners.orders);
            twice(&mut report, "flash orders", &order.metadata.name, &runners.orders);
            runners.orders.entry(order.metadata.name.clone()).or_insert(order);
        }
        self.found.extend(report.finish());
    }
}

fn is_order(node: &Node) -> bool {
    node.get("kind").and_then(Node::text) == Some(Kind::FlashOrder.as_str())
}

fn twice<N: Ord + std::fmt::Display, T>(
    report: &mut Report<'_>,
    what: &str,
    name: &N,
    known: &BTreeMap<N, T>,
) {
    if known.contains_key(name) {
        let message = format!("there are two {what} with the name {name}");
        report.error("metadata.name", message, "Choose another name for one of them.");
    }
}
