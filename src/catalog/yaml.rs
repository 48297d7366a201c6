//! YAML text → a tree in which every node knows its place.
//!
//! The tree is built from the parser's events, not from typed deserialisation, because
//! that stops at its first error and a user wants all of them. Plain scalars are read by
//! the core schema of YAML 1.2 (section 10.3.2): `no` is a text, not a boolean. Doubled
//! keys, tags and complex keys are problems. Aliases are copied, within a budget.

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use std::collections::HashMap;

/// The most nodes that one file may have, aliases counted as what they stand for.
pub const MOST_NODES: usize = 20_000;
/// The deepest nesting.
const DEEPEST: usize = 40;

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mark {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters on that line, at least 1.
    pub length: u32,
    /// The line on which it ends.
    pub last_line: u32,
    /// Which of the texts that a document was put together from; 0 is its own file.
    pub part: u16,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing was written, or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// Another number, as it was written.
    Float(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it is.
    pub mark: Mark,
    /// Its text.
    pub text: String,
}

/// Something wrong at a place.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where.
    pub mark: Mark,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Whether the text could not be read as YAML from there on.
    pub syntax: bool,
}

impl Node {
    /// The child under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Key and child under `key`, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(k, n)| (k, n)),
            _ => None,
        }
    }

    /// The child at an index, if this is a list that has it.
    pub fn item(&self, index: usize) -> Option<&Node> {
        match &self.value {
            Value::List(items) => items.get(index),
            _ => None,
        }
    }

    /// Says of this node and everything in it that it came from another text.
    pub fn stamp(&mut self, part: u16) {
        self.mark.part = part;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.stamp(part)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|(key, node)| {
                key.mark.part = part;
                node.stamp(part);
            }),
            _ => {}
        }
    }

    /// How many values this node is made of; a key counts as one.
    pub fn size(&self) -> usize {
        size(self)
    }

    /// The text, if this is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads all documents of a file. Documents that are empty are left out. After a syntax
/// error, reading goes on at the next line that starts with `---`.
pub fn parse(text: &str) -> (Vec<Node>, Vec<Fault>) {
    let (mut documents, mut faults) = (Vec::new(), Vec::new());
    // A byte order mark is allowed at the very start.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines_before = 0;
    let mut budget = MOST_NODES;
    loop {
        let mut builder = Builder { lines_before, nodes_left: budget, ..Builder::default() };
        let stopped = builder.run(rest);
        documents.append(&mut builder.documents);
        faults.append(&mut builder.faults);
        budget = builder.nodes_left;
        let Some(fault) = stopped else { break };
        let stopped_at = fault.mark.line.saturating_sub(lines_before) as usize;
        faults.push(fault);
        let Some((skipped, next)) = next_document(rest, stopped_at) else { break };
        lines_before += skipped;
        rest = next;
        if budget == 0 {
            break;
        }
    }
    (documents, faults)
}

/// The text from the next document marker after line `after` (from 1), and how many lines come before it.
fn next_document(text: &str, after: usize) -> Option<(u32, &str)> {
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // The parser may notice an unclosed bracket only at the marker itself, so that line counts too.
        let marker = line.trim_end() == "---" || line.starts_with("--- ");
        if marker && index > 0 && index + 1 >= after {
            return Some((u32::try_from(index).ok()?, &text[offset..]));
        }
        offset += line.len();
    }
    None
}

#[derive(Default)]
struct Builder {
    lines_before: u32,
    nodes_left: usize,
    documents: Vec<Node>,
    faults: Vec<Fault>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
}

/// A list or mapping that has not ended yet.
struct Open {
    start: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    /// Entries, and the key whose value has not come yet; `None` inside means a key that was refused.
    Mapping(Vec<(Key, Node)>, Option<Option<Key>>),
}

impl Builder {
    /// Feeds all events; gives the fault that stopped it.
    fn run(&mut self, text: &str) -> Option<Fault> {
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => return Some(self.syntax(&error)),
            };
            if let Err(fault) = self.event(event, span) {
                return Some(fault);
            }
        }
        None
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.open.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    self.refuse_tag(span);
                }
                let node = Node { mark: self.mark(span), value: scalar(&text, style) };
                self.count(1, node.mark)?;
                self.add(node, anchor, span);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(span, anchor, tag.is_some(), Content::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.start(span, anchor, tag.is_some(), Content::Mapping(Vec::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => self.alias(id, span)?,
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, span: Span, anchor: usize, tagged: bool, content: Content) -> Result<(), Fault> {
        if tagged {
            self.refuse_tag(span);
        }
        let mark = self.mark(span);
        self.count(1, mark)?;
        if self.open.len() >= DEEPEST {
            return Err(fault(mark, "nested too deeply", format!("At most {DEEPEST} levels are read.")));
        }
        self.open.push(Open { start: span, anchor, content });
        Ok(())
    }

    fn end(&mut self, span: Span) {
        let Some(open) = self.open.pop() else { return };
        let mut mark = self.mark(open.start);
        mark.last_line = self.line(&span.end);
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Mapping(entries, _) => Value::Mapping(entries),
        };
        self.add(Node { mark, value }, open.anchor, open.start);
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Fault> {
        let mark = self.mark(span);
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(fault(
                mark,
                "this alias stands inside the very thing that it names",
                "Write the value out.",
            ));
        };
        self.count(size(&node), mark)?;
        self.add(node, 0, span);
        Ok(())
    }

    fn count(&mut self, nodes: usize, mark: Mark) -> Result<(), Fault> {
        let left = self.nodes_left.checked_sub(nodes);
        self.nodes_left = left.unwrap_or(0);
        match left {
            Some(_) => Ok(()),
            None => Err(fault(
                mark,
                "the file is too large",
                format!(
                    "At most {MOST_NODES} values are read from one file; an alias counts as what it stands for."
                ),
            )),
        }
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, span: Span) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let place = self.mark(span);
        let Some(open) = self.open.last_mut() else {
            if !matches!(node.value, Value::Null) {
                self.documents.push(node);
            }
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Mapping(entries, waiting) => match waiting.take() {
                None => {
                    let (key, complaint) = read_key(node, place, entries);
                    self.faults.extend(complaint);
                    *waiting = Some(key);
                }
                Some(Some(key)) => entries.push((key, node)),
                Some(None) => {}
            },
        }
    }

    fn refuse_tag(&mut self, span: Span) {
        let mark = self.mark(span);
        self.faults.push(fault(
            mark,
            "tags are not read",
            "Take the `!…` away; put a value in quotes to make it a text.",
        ));
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let marker = error.marker();
        let line = self.line(marker);
        let mark = Mark { line, column: number(marker.col()) + 1, length: 1, last_line: line, part: 0 };
        let hint = "Check indentation, colons and quotes on this line and the one before it.";
        Fault { syntax: true, ..fault(mark, format!("not valid YAML: {}", error.info()), hint) }
    }

    fn line(&self, marker: &Marker) -> u32 {
        self.lines_before + number(marker.line()).max(1)
    }

    fn mark(&self, span: Span) -> Mark {
        let one_line = span.start.line() == span.end.line();
        let length = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        Mark {
            line: self.line(&span.start),
            column: number(span.start.col()) + 1,
            length: number(length).max(1),
            last_line: self.line(&span.end),
            part: 0,
        }
    }
}

/// The key that a node makes; `None` with a complaint when it cannot be one or is there already.
fn read_key(node: Node, place: Mark, entries: &[(Key, Node)]) -> (Option<Key>, Option<Fault>) {
    let text = match node.value {
        Value::Text(text) | Value::Float(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Mapping(_) => {
            let complaint = fault(place, "this key is not a text", "Write a plain word before the colon.");
            return (None, Some(complaint));
        }
    };
    if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
        let complaint = fault(
            place,
            format!("`{text}` is set twice"),
            format!("It is already set in line {}; keep one of the two.", first.mark.line),
        );
        return (None, Some(complaint));
    }
    (Some(Key { mark: place, text }), None)
}

fn fault(mark: Mark, message: impl Into<String>, hint: impl Into<String>) -> Fault {
    Fault { mark, message: message.into(), hint: hint.into(), syntax: false }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, n)| 1 + size(n)).sum::<usize>(),
        _ => 0,
    }
}

/// A scalar by the core schema; only plain ones can be anything but a text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Boolean(true),
        "false" | "False" | "FALSE" => return Value::Boolean(false),
        _ => {}
    }
    if let Some(number) = integer(text) {
        Value::Integer(number)
    } else if is_float(text) {
        Value::Float(text.to_owned())
    } else {
        Value::Text(text.to_owned())
    }
}

fn integer(text: &str) -> Option<i128> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i128::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with(['+', '-']));
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i128::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with(['+', '-']));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.strip_prefix('+').unwrap_or(text).parse().ok()).flatten()
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, infinities and not-a-number.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let starts_right = unsigned.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    starts_right
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        let (mut documents, faults) = parse(text);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(documents.len(), 1);
        documents.remove(0)
    }

    fn faults(text: &str) -> Vec<(u32, u32, String)> {
        parse(text).1.into_iter().map(|f| (f.mark.line, f.mark.column, f.message)).collect()
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        let node = one("a: [no, yes, on, true, 0x1f, 0o17, 012, 1.20, 1e3, ~, '5', 1.2.3, -7, 1:30, '']\n");
        let Value::List(items) = &node.get("a").unwrap().value else { panic!() };
        let shown: Vec<String> = items.iter().map(|n| format!("{:?}", n.value)).collect();
        assert_eq!(
            shown,
            [
                "Text(\"no\")",
                "Text(\"yes\")",
                "Text(\"on\")",
                "Boolean(true)",
                "Integer(31)",
                "Integer(15)",
                "Integer(12)",
                "Float(\"1.20\")",
                "Float(\"1e3\")",
                "Null",
                "Text(\"5\")",
                "Text(\"1.2.3\")",
                "Integer(-7)",
                "Text(\"1:30\")",
                "Text(\"\")"
            ]
        );
    }

    #[test]
    fn places_are_lines_and_characters() {
        let node = one("# c\nmetadata:\n  näme: edge\n  list:\n    - one\n");
        let (key, value) = node.get("metadata").unwrap().entry("näme").unwrap();
        assert_eq!((key.mark.line, key.mark.column, key.mark.length), (3, 3, 4));
        assert_eq!((value.mark.line, value.mark.column, value.mark.length), (3, 9, 4));
        let item = node.get("metadata").unwrap().get("list").unwrap().item(0).unwrap();
        assert_eq!((item.mark.line, item.mark.column), (5, 7));
    }

    #[test]
    fn every_doubled_key_is_named() {
        let found = faults("a: 1\nb: 2\na: 3\nc: {x: 1, x: 2}\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], (3, 1, "`a` is set twice".to_owned()));
        assert_eq!(found[1], (4, 11, "`x` is set twice".to_owned()));
    }

    #[test]
    fn tags_and_complex_keys_are_refused() {
        assert_eq!(faults("a: !!binary aGk=\n")[0].2, "tags are not read");
        assert_eq!(faults("? [a, b]\n: 1\n")[0].2, "this key is not a text");
        assert_eq!(faults("? \n: 1\n")[0].2, "this key is not a text");
    }

    #[test]
    fn aliases_are_copied_within_the_budget() {
        let node = one("a: &x [1, 2]\nb: *x\n");
        assert!(matches!(&node.get("b").unwrap().value, Value::List(items) if items.len() == 2));
        let mut bomb = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n".to_owned();
        for n in 1..12 {
            let alias = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{alias}]\n"));
        }
        assert!(faults(&bomb).iter().any(|f| f.2 == "the file is too large"));
        assert!(faults("a: &x [*x]\n")[0].2.contains("inside the very thing"));
        assert!(faults("a: *nowhere\n")[0].2.contains("not valid YAML"));
    }

    #[test]
    fn depth_has_an_end() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(faults(&deep)[0].2.contains("nested too deeply"));
    }

    #[test]
    fn documents_after_a_broken_one_are_read() {
        let text = "a: 1\n---\nb: [1\n---\nc: 3\n---\n---\nd: 'x\n";
        let (documents, faults) = parse(text);
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].get("c").unwrap().mark.line, 5);
        assert_eq!(faults.len(), 2);
        assert!(faults.iter().all(|f| f.syntax));
    }

    #[test]
    fn empty_files_hold_nothing() {
        for text in ["", "\n", "# only a comment\n", "---\n", "---\n---\n~\n"] {
            let (documents, faults) = parse(text);
            assert!(documents.is_empty() && faults.is_empty(), "{text:?}");
        }
    }
}
