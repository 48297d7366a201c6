//! Tokens → marks: what each stretch of a prompt says, before anybody asks what it belongs to.

use super::names;
use super::numbers;
use super::phrases::{self, Meaning, is_filler};
use super::ports;
use super::times::{self, Times};
use super::tokens::{Kind, Token};
use crate::tables::keywords::{Cue, Keyword, Topic, keywords};
use serde_json::Value;
use std::ops::Range;

/// One stretch of a prompt.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its bytes.
    pub span: Range<usize>,
    /// What it says.
    pub what: What,
    /// It says so of something that is not wanted.
    pub refused: bool,
    /// It was only thought about.
    pub ignored: bool,
    /// It tells of the past: it counts if nothing else is said.
    pub past: bool,
}

/// What a stretch says.
#[derive(Clone, Debug)]
pub enum What {
    /// Fields of a spec.
    Wish(Box<Wish>),
    /// It steers the reading.
    Cue(Cue, bool),
    /// A number or a time whose subject stands near.
    Loose(Loose),
    /// Nothing about the image; whether it leads over to something else, as "on" does.
    Filler(bool),
    /// Not understood, and perhaps what to say instead.
    Unread(Option<String>),
    /// A mark that ends or parts something.
    Break(char),
}

/// Fields and values.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Its subject.
    pub category: String,
    /// Fields and their values.
    pub set: Vec<(String, Value)>,
    /// Lists and what is added to them.
    pub add: Vec<(String, Value)>,
    /// Fields and their values when it is refused.
    pub not: Vec<(String, Value)>,
    /// The row of the table, for a keyword.
    pub keyword: Option<&'static Keyword>,
    /// What it is about.
    pub topic: Option<Topic>,
    /// What a reader should know.
    pub note: Option<String>,
}

impl Wish {
    /// One field and its value.
    pub fn set(category: &str, field: &str, value: impl Into<Value>) -> Self {
        Self { category: category.to_owned(), set: vec![(field.to_owned(), value.into())], ..Self::default() }
    }

    /// One entry of a list.
    pub fn add(category: &str, list: &str, value: impl Into<Value>) -> Self {
        Self { category: category.to_owned(), add: vec![(list.to_owned(), value.into())], ..Self::default() }
    }

    fn of(keyword: &'static Keyword) -> Self {
        Self {
            category: keyword.category.clone(),
            set: keyword.set.iter().map(|(field, value)| (field.clone(), value.clone())).collect(),
            add: keyword
                .add
                .iter()
                .flat_map(|(list, values)| values.iter().map(|value| (list.clone(), value.clone())))
                .collect(),
            not: keyword.not.iter().map(|(field, value)| (field.clone(), value.clone())).collect(),
            keyword: Some(keyword),
            topic: keyword.topic,
            note: None,
        }
    }
}

/// A number or a time whose subject stands near.
#[derive(Clone, Debug)]
pub enum Loose {
    /// When something happens.
    Times(Times),
    /// How many of something are kept; by period where that is said.
    Keep(Vec<(u32, Option<&'static str>)>),
    /// For how long: `10m`.
    Duration(String),
    /// An address that something is sent to.
    Destination(String),
}

/// No more words than these are passed over.
const MOST_SKIPPED: usize = 16;

/// No name has more parts: `edge-gateway-01`.
const LONGEST_RUN: usize = 32;

/// A prompt's tokens, looked at from one place on.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    /// The prompt.
    pub text: &'a str,
    /// Its tokens.
    pub tokens: &'a [Token],
}

impl<'a> Cursor<'a> {
    /// The compared form of a token; empty past the end and for marks.
    pub fn word(&self, at: usize) -> &'a str {
        match self.tokens.get(at) {
            Some(token) if !matches!(token.kind, Kind::Mark(_)) => &token.text,
            _ => "",
        }
    }

    /// The token at a place.
    pub fn token(&self, at: usize) -> Option<&'a Token> {
        self.tokens.get(at)
    }

    /// Whether a mark stands there.
    pub fn is_mark(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at).is_some_and(|t| t.is_mark(mark))
    }

    /// Whether these words stand there.
    pub fn says(&self, at: usize, phrase: &str) -> bool {
        phrase.split(' ').enumerate().all(|(i, word)| self.word(at + i) == word)
    }

    /// The length of the first of some phrases that stands there.
    pub fn any(&self, at: usize, phrases: &[&str]) -> Option<usize> {
        phrases.iter().find(|p| self.says(at, p)).map(|p| p.split(' ').count())
    }

    /// The next place that holds none of these words.
    pub fn skip(&self, at: usize, words: &[&str]) -> usize {
        let passed = |at: &usize| !self.word(*at).is_empty() && words.contains(&self.word(*at));
        at + (at..at + MOST_SKIPPED).take_while(passed).count()
    }

    /// The bytes from one token to before another.
    pub fn span(&self, from: usize, to: usize) -> Range<usize> {
        let last = to.max(from + 1).min(self.tokens.len()) - 1;
        self.tokens[from].span.start..self.tokens[last].span.end
    }

    /// The end of the run of tokens that no blank parts.
    pub fn run_end(&self, at: usize) -> usize {
        let most = (at + LONGEST_RUN).min(self.tokens.len());
        let joined = |end: &usize| self.tokens[*end].joined.is_some();
        at + 1 + (at + 1..most).take_while(joined).count()
    }

    /// The prompt's own text of a run of tokens.
    pub fn raw(&self, from: usize, to: usize) -> &'a str {
        &self.text[self.span(from, to)]
    }
}

/// What one reader took: where it ends, and what it says.
pub struct Taken {
    /// The first token that is not part of it.
    pub end: usize,
    /// What it says; with its own tokens where it is not all of them.
    pub what: Vec<(Option<Range<usize>>, What)>,
}

impl Taken {
    fn one(end: usize, what: What) -> Self {
        Self { end, what: vec![(None, what)] }
    }

    /// One wish.
    pub fn wish(end: usize, wish: Wish) -> Self {
        Self::one(end, What::Wish(Box::new(wish)))
    }

    /// One loose value.
    pub fn loose(end: usize, loose: Loose) -> Self {
        Self::one(end, What::Loose(loose))
    }

    /// Something that is not understood, with what to say instead.
    pub fn unread(end: usize, hint: &str) -> Self {
        Self::one(end, What::Unread(Some(hint.to_owned())))
    }

    /// A wish, and one token behind it that is not understood.
    fn wish_and_unread(at: usize, unread: usize, wish: Wish, hint: String) -> Self {
        let wish = (Some(at..unread), What::Wish(Box::new(wish)));
        let unread_what = (Some(unread..unread + 1), What::Unread(Some(hint)));
        Self { end: unread + 1, what: vec![wish, unread_what] }
    }
}

/// Reads the marks of a prompt.
pub fn marks(text: &str, tokens: &[Token]) -> Vec<Mark> {
    let cursor = Cursor { text, tokens };
    let mut marks: Vec<Mark> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let taken = one(&cursor, at);
        let end = taken.end.max(at + 1);
        marks.extend(taken.what.into_iter().map(|(own, what)| {
            let tokens = own.unwrap_or(at..end);
            let span = cursor.span(tokens.start, tokens.end);
            Mark { span, what, refused: false, ignored: false, past: false }
        }));
        at = end;
    }
    marks
}

/// Words that a "no" does not reach across: "no desktop on debian".
const LEADS_OVER: [&str; 16] = [
    "on", "over", "via", "for", "in", "at", "from", "to", "with", "by", "of", "as", "because", "since",
    "when", "if",
];

fn one(cursor: &Cursor<'_>, at: usize) -> Taken {
    let token = &cursor.tokens[at];
    if let Kind::Mark(mark) = token.kind {
        return Taken::one(at + 1, What::Break(mark));
    }
    let readers: [fn(&Cursor<'_>, usize) -> Option<Taken>; 7] =
        [names::read, ports::read, times::read, numbers::read, distribution, language, keyword];
    if let Some(taken) = readers.iter().find_map(|read| read(cursor, at)) {
        return taken;
    }
    let what = if is_filler(&token.text) || cursor.text[token.span.clone()] == *"/" {
        What::Filler(LEADS_OVER.contains(&token.text.as_str()))
    } else if let Some(taken) = misspelt(cursor, at) {
        return taken;
    } else {
        What::Unread(None)
    };
    Taken::one(at + 1, what)
}

/// A distribution with its version, or a suite that only one has.
fn distribution(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let table = keywords();
    let first = cursor.word(at);
    for (base, suites) in &table.suites {
        if suites.known.iter().any(|known| known == first) {
            let suite = suites.names.get(first)?;
            let mut wish = Wish::set("distribution", "suite", suite.as_str());
            wish.set.push(("base".to_owned(), Value::from(base.as_str())));
            return Some(Taken::wish(at + 1, wish));
        }
    }
    let tokens = &cursor.tokens[at..];
    let found = match phrases::phrase(tokens) {
        None if is_filler(first) => None,
        None => phrases::misspelt(tokens),
        found => found,
    }?;
    let Meaning::Keyword(row) = found.meaning else { return None };
    if row.category != "distribution" {
        return None;
    }
    let mut wish = Wish::of(row);
    wish.note = found.misspelt.map(|word| format!("read as {word}"));
    let base = row.set.get("base")?.as_str()?;
    let suites = table.suites.get(base)?;
    let mut end = at + found.length;
    let to = cursor.skip(
        end,
        &["linux", "gnu", "version", "release", "server", "desktop", "leap", "v", "codename", "core"],
    );
    let said = cursor.word(to);
    let numbered = cursor.token(to).is_some_and(|t| t.kind == Kind::Number);
    // What has a unit, or is a date or a count, is no version.
    let unit = cursor.token(to + 1).is_some_and(|t| t.joined == Some('\0'));
    if let Some(suite) = suites.names.get(said) {
        wish.set.push(("suite".to_owned(), Value::from(suite.as_str())));
        end = to + 1;
    } else if numbered && !unit && suites.numbers && said.len() <= 8 {
        wish.set.push(("suite".to_owned(), Value::from(said)));
        end = to + 1;
    } else if numbered && !unit {
        let known: Vec<&str> = suites.names.keys().map(String::as_str).collect();
        let hint = format!("Known versions of {base}: {}.", known.join(", "));
        return Some(Taken::wish_and_unread(at, to, wish, hint));
    }
    // "12 (bookworm)", "24.04 LTS"
    let open = usize::from(cursor.is_mark(end, '('));
    let again = cursor.word(end + open);
    let same = suites.names.get(again).map(|suite| Value::from(suite.as_str()));
    if end > at + found.length
        && same.is_some_and(|same| wish.set.iter().any(|(f, v)| f == "suite" && *v == same))
    {
        end += 1 + 2 * open.min(usize::from(cursor.is_mark(end + 2, ')')));
    }
    Some(Taken::wish(end, wish))
}

/// A language, a keyboard, a time zone.
fn language(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    const KEYBOARD: [&str; 5] = ["keyboard", "layout", "keymap", "keys", "keyboards"];
    let found = phrases::phrase(&cursor.tokens[at..])?;
    let end = at + found.length;
    let colon = usize::from(at >= 1 && cursor.is_mark(at - 1, ':'));
    let word_before = |back: usize| at.checked_sub(back + colon).map_or("", |at| cursor.word(at));
    let near = |words: &[&str], back: usize| {
        words.contains(&word_before(1))
            || (back > 1
                && ["is", "in", "to", "with", "of"].contains(&word_before(1))
                && words.contains(&word_before(2)))
    };
    match found.meaning {
        Meaning::Zone(zone) => {
            let end = cursor.skip(end, &["time", "timezone"]);
            Some(Taken::wish(end, Wish::set("place", "defaults.timezone", zone)))
        }
        Meaning::Layout(layout) => {
            let end = cursor.skip(end, &KEYBOARD);
            Some(Taken::wish(end, Wish::set("keyboard", "defaults.keyboard.layout", layout)))
        }
        Meaning::Language { locale, keyboard } => {
            let of_keyboard = near(&KEYBOARD, 2);
            let after = cursor.word(end);
            let mut what: Vec<(Option<Range<usize>>, What)> = Vec::new();
            let wish = |wish| (None, What::Wish(Box::new(wish)));
            let as_keyboard = Wish::set("keyboard", "defaults.keyboard.layout", keyboard);
            let as_locale = Wish::set("language", "defaults.locale", locale);
            if of_keyboard || KEYBOARD.contains(&after) {
                what.push(wish(as_keyboard));
                let end = if of_keyboard { end } else { cursor.skip(end, &KEYBOARD) };
                let both =
                    cursor.word(end) == "and" && ["locale", "language"].contains(&cursor.word(end + 1));
                if both {
                    what.push(wish(as_locale));
                }
                return Some(Taken { end: end + 2 * usize::from(both), what });
            }
            what.push(wish(as_locale));
            let mut end = cursor.skip(end, &["language", "locale", "version"]);
            if cursor.word(end) == "and" && KEYBOARD.contains(&cursor.word(end + 1)) {
                what.push(wish(as_keyboard));
                end += 2;
            }
            Some(Taken { end, what })
        }
        Meaning::Keyword(_) | Meaning::Cue(_) => None,
    }
}

fn keyword(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    // "1st" is no terminal, "20gb" no shell.
    if cursor.token(at)?.joined == Some('\0') {
        return None;
    }
    let found = phrases::phrase(&cursor.tokens[at..])?;
    Some(taken(cursor, at, &found))
}

fn misspelt(cursor: &Cursor<'_>, at: usize) -> Option<Taken> {
    let found = phrases::misspelt(&cursor.tokens[at..])?;
    Some(taken(cursor, at, &found))
}

fn taken(cursor: &Cursor<'_>, at: usize, found: &phrases::Found) -> Taken {
    let end = at + found.length;
    match found.meaning {
        Meaning::Keyword(row) => {
            let mut wish = Wish::of(row);
            wish.note = found.misspelt.map(|word| format!("read as {word}"));
            let is_package = row.add.keys().any(|list| list.starts_with("packages."));
            let version = cursor.token(end).is_some_and(|t| t.kind == Kind::Number)
                && numbers::unit(cursor, end + 1).is_none()
                && !cursor.word(at).ends_with(|c: char| c.is_ascii_digit());
            if is_package && version && !times::is_clock(cursor, end) {
                let hint = "The suite says which version there is, and the lock fixes it; name a package such as python3.12 in packages.extra where the distribution has several.";
                return Taken::wish_and_unread(at, end, wish, hint.to_owned());
            }
            Taken::wish(end, wish)
        }
        Meaning::Cue(cue) => {
            // "no docker and nginx" may ask for nginx, "without docker and nginx" hardly does.
            let strong = found.length > 1 || !["no", "not", "never"].contains(&cursor.word(at));
            Taken::one(end, What::Cue(cue, strong))
        }
        Meaning::Zone(_) | Meaning::Language { .. } | Meaning::Layout(_) => {
            Taken::one(end, What::Unread(None))
        }
    }
}
