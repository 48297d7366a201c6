//! Documents that are put together: an image, what it includes, and its security level.
//!
//! All parts of an image are put into one order, lowest first: what its security level stands
//! for, then what it includes (each included file after what it includes itself, and each file
//! once), then its own lines. Then each is laid over those before it ([`merge`]). All this is
//! done on nodes that know their places, before anything is read as a type, so that whatever
//! is wrong later is told where it was written.

mod level;
mod merge;
mod path;
mod preseed;
mod resolved;

pub use resolved::{Resolved, ResolvedValue, ValueOrigin, resolved};

use super::files::{FileKind, Files};
use super::load::{is_profile, is_spec};
use super::schema::{Kind, schema};
use super::shape::nearest;
use super::source::{Origin, Source, Text};
use super::yaml::{self, Fault, Key, MOST_NODES, Mark, Node, Value};
use crate::model::profile::SecurityLevel;
use merge::Merge;
use resolved::origin;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The field that names files.
pub const INCLUDE: &str = "include";
/// How deep files may include one another.
const DEEPEST: usize = 16;
/// How many files one image may be put together from.
pub const MOST_FILES: usize = 64;
/// How many bytes the files have that one image is put together from.
const MOST_BYTES: usize = 4 << 20;

/// The files of a catalog that are included; each is read once.
pub struct Library<'a> {
    files: &'a Files,
    read: BTreeMap<&'a str, Rc<Page<'a>>>,
}

/// One file that is included.
struct Page<'a> {
    text: Rc<Text<'a>>,
    documents: Vec<Node>,
    faults: Vec<Fault>,
    bytes: usize,
}

/// A document that was put together.
pub struct Composed<'a> {
    /// The document, without `include`, each value with its place.
    pub node: Node,
    /// The texts that it came from.
    pub source: Source<'a>,
    /// What was wrong with putting it together.
    pub faults: Vec<Fault>,
    /// The files that it includes, directly or not, by path.
    pub included: BTreeSet<&'a str>,
}

impl<'a> Library<'a> {
    /// Of a catalog.
    pub fn new(files: &'a Files) -> Self {
        Self { files, read: BTreeMap::new() }
    }

    /// Puts an image together. `own` has the text of its file alone.
    pub fn compose(&mut self, own: &Source<'a>, document: &Node) -> Composed<'a> {
        let mut gather = Gather {
            library: self,
            source: own.own(),
            faults: Vec::new(),
            layers: Vec::new(),
            bounds: Vec::new(),
            open: vec![own.file],
            included: BTreeSet::new(),
            nodes: document.size(),
            bytes: 0,
        };
        gather.includes(own.file, document);
        let mut layers = std::mem::take(&mut gather.layers);
        layers.extend(document.get("spec").cloned());
        let base = last(&layers, "base").and_then(Node::text).map(str::to_owned);
        gather.keep_bounds(base.as_deref());
        let mut presets = Vec::new();
        if let Some(asked) = last(&layers, "securityLevel") {
            let level = SecurityLevel::ALL.into_iter().find(|level| asked.text() == Some(level.as_str()));
            presets = level
                .map_or_else(Vec::new, |level| gather.level(level, asked.mark, base.as_deref(), &layers));
        }
        presets.append(&mut layers);
        let Gather { source, mut faults, included, .. } = gather;
        let mut merge = Merge::new(schema(Kind::OsImage), &source);
        let form = &schema(Kind::OsImage)["properties"]["spec"];
        let mut spec: Option<Node> = None;
        for layer in &presets {
            spec = merge.value(spec, layer, Some(form), "spec");
        }
        faults.append(&mut merge.faults);
        Composed { node: with_spec(document, spec), source, faults, included }
    }

    fn page(&mut self, path: &str) -> Option<(&'a str, Rc<Page<'a>>)> {
        let (path, file) = self.files.entry(path).filter(|(_, file)| file.kind != FileKind::Symlink)?;
        if let Some(page) = self.read.get(path) {
            return Some((path, Rc::clone(page)));
        }
        // What is no text is told about where the file itself is read.
        let text = std::str::from_utf8(&file.bytes).ok()?;
        let (mut documents, faults) = yaml::parse(text);
        if is_profile(path) {
            documents.iter_mut().for_each(preseed::as_profile);
        }
        let text = Text::new(text, &documents);
        let page = Rc::new(Page { text, documents, faults, bytes: file.bytes.len() });
        self.read.insert(path, Rc::clone(&page));
        Some((path, page))
    }
}

/// Collects the parts of one image.
struct Gather<'a, 'l> {
    library: &'l mut Library<'a>,
    source: Source<'a>,
    faults: Vec<Fault>,
    /// The specs of what is included, lowest first.
    layers: Vec<Node>,
    /// The distributions that an included file is made for, where it is included, and its path.
    bounds: Vec<(Vec<String>, Mark, &'a str)>,
    /// The files that include one another, down to the one that is being read.
    open: Vec<&'a str>,
    included: BTreeSet<&'a str>,
    nodes: usize,
    bytes: usize,
}

impl<'a> Gather<'a, '_> {
    fn includes(&mut self, file: &'a str, document: &Node) {
        let Some(node) = document.get(INCLUDE) else { return };
        let Value::List(items) = &node.value else {
            let hint = "Write `include: [profiles/NAME.yaml]`.";
            return self.fault(node.mark, "`include` should be a list of paths".to_owned(), hint);
        };
        let mut here: BTreeSet<String> = BTreeSet::new();
        for item in items {
            let Some(text) = item.text() else {
                self.fault(item.mark, "this should be a path".to_owned(), "Write profiles/NAME.yaml.");
                continue;
            };
            match path::target(file, text) {
                Err(refused) => self.fault(item.mark, refused.message, refused.hint),
                Ok(path) if here.contains(&path) => {
                    self.fault(item.mark, format!("{path} is included twice here"), "Keep one of the two.");
                }
                Ok(path) => {
                    self.file(&path, item.mark);
                    here.insert(path);
                }
            }
        }
    }

    fn file(&mut self, path: &str, at: Mark) {
        if let Some(from) = self.open.iter().position(|open| *open == path) {
            let ring: Vec<&str> = self.open[from..].iter().copied().chain([path]).collect();
            let message = format!("{path} includes itself: {}", ring.join(" → "));
            return self.fault(at, message, "Take one of these lines away.");
        }
        if self.included.contains(path) {
            // Two profiles may share a third: it counts once, where it came first.
            return;
        }
        if self.open.len() > DEEPEST {
            let message = format!("files include one another more than {DEEPEST} deep");
            return self.fault(at, message, "Include the file further up.");
        }
        if self.included.len() >= MOST_FILES {
            let message = format!("this image is put together from more than {MOST_FILES} files");
            return self.fault(at, message, "Put small profiles together into one.");
        }
        let Some((path, page)) = self.library.page(path) else {
            return self.missing(path, at);
        };
        self.included.insert(path);
        self.nodes += page.documents.iter().map(Node::size).sum::<usize>();
        self.bytes += page.bytes;
        if self.nodes > MOST_NODES || self.bytes > MOST_BYTES {
            let message = "this image is put together from too much text".to_owned();
            let hint = format!(
                "At most {MOST_NODES} values and {MOST_BYTES} bytes are read for one image, all files together."
            );
            return self.fault(at, message, hint);
        }
        let Some(part) = self.source.add(&page.text, Origin::Included(path, at)) else { return };
        self.faults.extend(page.faults.iter().cloned().map(|mut fault| {
            fault.mark.part = part;
            fault
        }));
        let [document] = page.documents.as_slice() else {
            let message = format!("{path} holds {} documents, and one can be included", page.documents.len());
            return self.fault(at, message, "Put the one that is meant into a file of its own.");
        };
        let mut document = document.clone();
        document.stamp(part);
        if !self.is_part(path, &document, at) {
            return;
        }
        if let Some(Value::List(bases)) = document.get("bases").map(|node| &node.value) {
            let bases = bases.iter().filter_map(|base| base.text().map(str::to_owned)).collect();
            self.bounds.push((bases, at, path));
        }
        self.open.push(path);
        self.includes(path, &document);
        self.open.pop();
        self.layers.extend(document.get("spec").cloned());
    }

    /// Whether a document is of a kind that can be included.
    fn is_part(&mut self, path: &str, document: &Node, at: Mark) -> bool {
        let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
        if kind == "Profile" && is_profile(path) || kind == "OsImage" && is_spec(path) {
            return true;
        }
        let message = format!("{path} holds no profile and no image");
        self.fault(at, message, "A profile has `kind: Profile` and stands in profiles/, an image in specs/.");
        false
    }

    fn missing(&mut self, path: &str, at: Mark) {
        let files = self.library.files;
        if files.get(path).is_some() {
            return self.fault(at, format!("{path} is not a text"), "Save it as UTF-8.");
        }
        let known: Vec<&str> = files.iter().map(|(p, _)| p).filter(|p| is_profile(p) || is_spec(p)).collect();
        let hint = match nearest(path, &known) {
            Some(near) => format!("Did you mean {near}?"),
            None => {
                "Paths start at the folder that holds specs/ and profiles/. Is the file committed?".into()
            }
        };
        self.fault(at, format!("there is no file {path} in the catalog"), hint);
    }

    /// Complains about what is made for other distributions than the image's own.
    fn keep_bounds(&mut self, base: Option<&str>) {
        let Some(base) = base else { return };
        for (bases, at, path) in std::mem::take(&mut self.bounds) {
            if !bases.is_empty() && bases.iter().all(|bound| bound != base) {
                let message = format!("{path} is made for {}, not for {base}", bases.join(", "));
                self.fault(at, message, "Take it away, or add the distribution to its `bases`.");
            }
        }
    }

    /// The parts that a security level stands for, lowest first.
    fn level(&mut self, level: SecurityLevel, at: Mark, base: Option<&str>, above: &[Node]) -> Vec<Node> {
        let mut parts = Vec::new();
        for preset in level::presets(level, base, above) {
            let text = Text::new(preset.text, std::slice::from_ref(&preset.document));
            let Some(part) = self.source.add(&text, Origin::Level(level, at)) else { break };
            let mut spec = preset.document.get("spec").cloned();
            spec.iter_mut().for_each(|spec| spec.stamp(part));
            parts.extend(spec);
        }
        parts
    }

    fn fault(&mut self, mark: Mark, message: String, hint: impl Into<String>) {
        self.faults.push(Fault { mark, message, hint: hint.into(), syntax: false });
    }
}

/// What the topmost of some parts says of a field; nothing if it takes the value away.
fn last<'n>(layers: &'n [Node], field: &str) -> Option<&'n Node> {
    let said = layers.iter().rev().find_map(|layer| layer.get(field))?;
    (!matches!(said.value, Value::Null)).then_some(said)
}

/// The document with another spec, and without its includes.
fn with_spec(document: &Node, spec: Option<Node>) -> Node {
    let Value::Mapping(own) = &document.value else { return document.clone() };
    let mut spec = spec;
    let mut entries: Vec<(Key, Node)> = Vec::new();
    for (key, node) in own.iter().filter(|(key, _)| key.text != INCLUDE) {
        let node = if key.text == "spec" { spec.take() } else { Some(node.clone()) };
        entries.extend(node.map(|node| (key.clone(), node)));
    }
    if let Some(spec) = spec {
        entries.push((Key { mark: spec.mark, text: "spec".to_owned() }, spec));
    }
    Node { mark: document.mark, value: Value::Mapping(entries) }
}

/// A profile as it would be alone, for looking at its shape: changes of lists are lists, and
/// what is taken away is not there.
pub fn alone(document: &Node) -> Node {
    let mut document = document.clone();
    if let Value::Mapping(entries) = &mut document.value {
        entries.retain(|(key, _)| key.text != INCLUDE);
        for (_, spec) in entries.iter_mut().filter(|(key, _)| key.text == "spec") {
            unchanged(spec, Some(&schema(Kind::OsImage)["properties"]["spec"]));
        }
    }
    document
}

fn unchanged(node: &mut Node, form: Option<&serde_json::Value>) {
    let root = schema(Kind::OsImage);
    let reference = form.and_then(|form| form["$ref"].as_str()).and_then(|r| r.rsplit('/').next());
    let form = reference.map_or(form, |name| root["$defs"].get(name));
    let Value::Mapping(entries) = &mut node.value else { return };
    if form.is_some_and(|form| form["type"] == "array") {
        let is_change = |key: &Key| merge::CHANGES.contains(&key.text.as_str());
        if !entries.is_empty() && entries.iter().all(|(key, _)| is_change(key)) {
            let mut items = Vec::new();
            for (key, change) in entries.iter_mut() {
                match &mut change.value {
                    // An item to remove names as much as it takes to know it.
                    Value::List(changed) if key.text == "remove" => {
                        items.extend(
                            changed.drain(..).filter(|item| !matches!(item.value, Value::Mapping(_))),
                        );
                    }
                    Value::List(changed) => items.append(changed),
                    _ => {}
                }
            }
            node.value = Value::List(items);
        }
        return;
    }
    entries.retain(|(_, child)| !matches!(child.value, Value::Null));
    for (key, child) in entries.iter_mut() {
        let inner = form.and_then(|f| f["properties"].get(&key.text).or(f.get("additionalProperties")));
        unchanged(child, inner);
    }
}

/// The documents of a profile's file as they are read.
pub fn profiles(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let (mut documents, faults) = yaml::parse(text);
    documents.iter_mut().for_each(preseed::as_profile);
    (documents, faults)
}

/// The paths that the documents of a file include, as far as they can be made out.
pub fn all_targets(file: &str, text: &str) -> Vec<String> {
    if !text.contains(INCLUDE) {
        return Vec::new();
    }
    let (documents, _) = yaml::parse(text);
    documents.iter().flat_map(|document| targets(file, document)).collect()
}

fn targets(file: &str, document: &Node) -> Vec<String> {
    let Some(Value::List(items)) = document.get(INCLUDE).map(|node| &node.value) else { return Vec::new() };
    items.iter().filter_map(|item| path::target(file, item.text()?).ok()).collect()
}

/// The fields whose values the image's own file does not set, each with the place that does:
/// `profiles/edge.yaml:7`, `securityLevel: minimal at specs/edge.yaml:3`.
pub fn origins(whole: &Composed<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Some(spec) = whole.node.get("spec") {
        collect_origins(spec, "spec", &whole.source, &mut found);
    }
    found
}

fn collect_origins(node: &Node, field: &str, source: &Source<'_>, found: &mut BTreeMap<String, String>) {
    match &node.value {
        Value::Mapping(entries) => {
            for (key, child) in entries {
                collect_origins(child, &format!("{field}.{}", key.text), source, found);
            }
        }
        Value::List(items) if items.iter().any(|item| item.mark.part > 0) => {
            let places: BTreeSet<String> =
                items.iter().map(|item| origin(source, item.mark).to_string()).collect();
            found.insert(field.to_owned(), places.into_iter().collect::<Vec<_>>().join(", "));
        }
        _ if node.mark.part > 0 => {
            drop(found.insert(field.to_owned(), origin(source, node.mark).to_string()))
        }
        _ => {}
    }
}
