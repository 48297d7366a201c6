//! Property lists (Apple's DTD "PLIST 1.0"), the form of all of xbps's texts: dictionaries, arrays, and
//! values that are text here whatever their kind.

use super::{Failure, Result};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;

/// No list is deeper.
const DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Values by their names.
    Dict(BTreeMap<String, Value>),
    /// Values.
    Array(Vec<Value>),
    /// Anything else, as it is written.
    Text(String),
}

impl Value {
    /// What a dictionary has under a name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Dict(values) => values.get(name),
            _ => None,
        }
    }

    /// The text that a dictionary has under a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The texts of the array that a dictionary has under a name.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let Some(Self::Array(values)) = self.get(name) else { return Vec::new() };
        values.iter().filter_map(Self::as_text).collect()
    }

    /// The dictionaries in a dictionary.
    pub fn dicts(&self) -> impl Iterator<Item = (&str, &Self)> {
        let values = if let Self::Dict(values) = self { Some(values) } else { None };
        let all = values.into_iter().flatten();
        all.filter(|(_, value)| matches!(value, Self::Dict(_))).map(|(name, value)| (name.as_str(), value))
    }
}

/// What has begun and not ended.
enum Open {
    Dict(BTreeMap<String, Value>, Option<String>),
    Array(Vec<Value>),
    Leaf { is_key: bool, text: String },
}

/// Reads a property list.
///
/// # Errors
/// Class *upstream* if it is none.
pub fn parse(text: &str) -> Result<Value> {
    let bad = || Failure::upstream("a text is no property list");
    let (mut reader, mut open, mut root) = (Reader::from_str(text), Vec::new(), None);
    loop {
        match reader.read_event().map_err(|_| bad())? {
            Event::Start(tag) => begin(&mut open, tag.name().as_ref()),
            Event::Empty(tag) => {
                begin(&mut open, tag.name().as_ref());
                end(&mut open, tag.name().as_ref(), &mut root);
            }
            Event::End(tag) => end(&mut open, tag.name().as_ref(), &mut root),
            Event::Text(more) => {
                if let Some(Open::Leaf { text, .. }) = open.last_mut() {
                    text.push_str(&more.decode().map_err(|_| bad())?);
                }
            }
            Event::GeneralRef(name) => {
                let letter = match name.resolve_char_ref().map_err(|_| bad())? {
                    Some(letter) => letter,
                    None => match &*name {
                        b"lt" => '<',
                        b"gt" => '>',
                        b"amp" => '&',
                        b"quot" => '"',
                        b"apos" => '\'',
                        _ => return Err(bad()),
                    },
                };
                if let Some(Open::Leaf { text, .. }) = open.last_mut() {
                    text.push(letter);
                }
            }
            Event::Eof => break,
            _ => {}
        }
        if open.len() > DEPTH {
            return Err(bad());
        }
    }
    root.filter(|_| open.is_empty()).ok_or_else(bad)
}

fn begin(open: &mut Vec<Open>, tag: &[u8]) {
    open.push(match tag {
        b"plist" => return,
        b"dict" => Open::Dict(BTreeMap::new(), None),
        b"array" => Open::Array(Vec::new()),
        tag => Open::Leaf { is_key: tag == b"key", text: String::new() },
    });
}

fn end(open: &mut Vec<Open>, tag: &[u8], root: &mut Option<Value>) {
    if tag == b"plist" {
        return;
    }
    let value = match open.pop() {
        Some(Open::Leaf { is_key: true, text }) => {
            if let Some(Open::Dict(_, key)) = open.last_mut() {
                *key = Some(text);
            }
            return;
        }
        // `<true/>` has no text.
        Some(Open::Leaf { text, .. }) if text.is_empty() => {
            Value::Text(String::from_utf8_lossy(tag).into_owned())
        }
        Some(Open::Leaf { text, .. }) => Value::Text(text),
        Some(Open::Dict(values, _)) => Value::Dict(values),
        Some(Open::Array(values)) => Value::Array(values),
        None => return,
    };
    match open.last_mut() {
        Some(Open::Dict(values, key)) => {
            if let Some(key) = key.take() {
                values.insert(key, value);
            }
        }
        Some(Open::Array(values)) => values.push(value),
        Some(Open::Leaf { .. }) => {}
        None => *root = Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        // As xbps-rindex 0.60.7 writes it, shortened.
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple Computer//DTD PLIST 1.0//EN\" \
            \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\t<key>hello</key>\n\t<dict>\n\
            \t\t<key>filename-size</key>\n\t\t<integer>578</integer>\n\t\t<key>run_depends</key>\n\t\t<array>\n\
            \t\t\t<string>busybox&gt;=1.0</string>\n\t\t\t<string>a&#38;b</string>\n\t\t</array>\n\t\t<key>preserve</key>\n\t\t<true/>\n\
            \t</dict>\n\t<key>_XBPS_ALTERNATIVES_</key>\n\t<dict/>\n</dict>\n</plist>\n";
        let list = parse(text).unwrap();
        assert_eq!(list.dicts().count(), 2);
        let hello = list.get("hello").unwrap();
        assert_eq!(hello.text("filename-size"), Some("578"));
        assert_eq!(hello.texts("run_depends"), ["busybox>=1.0", "a&b"]);
        assert_eq!((hello.text("preserve"), hello.text("no")), (Some("true"), None));
        let deep = "<dict><key>a</key>".repeat(DEPTH + 1);
        for bad in ["", "no list", "<plist><dict>", &deep, "<dict><key>a</key><string>&x;</string></dict>"] {
            assert!(parse(bad).is_err(), "{bad:.20}");
        }
    }
}
