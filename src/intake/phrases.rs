//! Finds the longest phrase of the keyword table that stands at a place of a prompt.

use super::tokens::{Kind, Token};
use crate::tables::keywords::{Cue, Keyword, all_keywords, keywords};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What a phrase means.
#[derive(Clone, Copy, Debug)]
pub enum Meaning {
    /// Fields of a spec.
    Keyword(&'static Keyword),
    /// It steers the reading.
    Cue(Cue),
    /// A time zone.
    Zone(&'static str),
    /// A language: locale and keyboard layout.
    Language {
        /// The locale.
        locale: &'static str,
        /// The layout.
        keyboard: &'static str,
    },
    /// A keyboard layout.
    Layout(&'static str),
}

/// A phrase that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many tokens it has.
    pub length: usize,
    /// What it means.
    pub meaning: Meaning,
    /// The word of the table, where the prompt has it misspelt.
    pub misspelt: Option<&'static str>,
}

/// Shorter words are not taken for misspelt ones: too many are one letter apart.
const SHORTEST_MISSPELT: usize = 5;

struct Index {
    /// By the first word, the longest first.
    phrases: HashMap<&'static str, Vec<(Vec<&'static str>, Meaning)>>,
    fillers: HashSet<&'static str>,
    /// Single words of keywords by their length.
    words: HashMap<usize, Vec<&'static str>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let table = keywords();
    let mut index = Index {
        phrases: HashMap::new(),
        fillers: table.fillers.split_whitespace().collect(),
        words: HashMap::new(),
    };
    // What is put in first wins over the same words later.
    for keyword in all_keywords() {
        keyword.words.iter().for_each(|words| index.add(words, Meaning::Keyword(keyword)));
    }
    for (zone, places) in &table.places {
        places.iter().for_each(|words| index.add(words, Meaning::Zone(zone)));
    }
    for (name, language) in &table.languages {
        let meaning = Meaning::Language { locale: &language.locale, keyboard: &language.keyboard };
        std::iter::once(name).chain(&language.words).for_each(|words| index.add(words, meaning));
    }
    for (name, layout) in &table.layouts {
        index.add(name, Meaning::Layout(layout));
    }
    for (cue, texts) in &table.cues {
        texts.iter().for_each(|words| index.add(words, Meaning::Cue(*cue)));
    }
    for phrases in index.phrases.values_mut() {
        phrases.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
    }
    index
});

impl Index {
    fn add(&mut self, text: &'static str, meaning: Meaning) {
        let words: Vec<&str> = text.split(' ').collect();
        if let ([word], false) = (words.as_slice(), matches!(meaning, Meaning::Cue(_)))
            && word.len() >= SHORTEST_MISSPELT
        {
            self.words.entry(word.len()).or_default().push(word);
        }
        self.phrases.entry(words[0]).or_default().push((words, meaning));
    }

    fn at(&self, tokens: &[Token], first: &str) -> Option<(usize, Meaning)> {
        let (words, meaning) = self.phrases.get(first)?.iter().find(|(words, _)| {
            words.len() <= tokens.len()
                && words[1..].iter().zip(&tokens[1..]).all(|(word, token)| is_word(token, word))
        })?;
        Some((words.len(), *meaning))
    }
}

/// Whether a token is this word, or its plural.
fn is_word(token: &Token, word: &str) -> bool {
    !matches!(token.kind, Kind::Mark(_)) && (token.text == word || singulars(&token.text).any(|s| s == word))
}

/// What a word may be the plural of.
fn singulars(word: &str) -> impl Iterator<Item = &str> {
    let long = word.len() > 3;
    let s = word.strip_suffix('s').filter(|rest| long && !rest.ends_with('s'));
    let es = word.strip_suffix("es").filter(|_| word.len() > 5);
    s.into_iter().chain(es)
}

/// The longest phrase that the tokens begin with.
pub fn phrase(tokens: &[Token]) -> Option<Found> {
    let first = tokens.first().filter(|t| !matches!(t.kind, Kind::Mark(_) | Kind::Place))?;
    let forms = std::iter::once(first.text.as_str()).chain(singulars(&first.text));
    let (length, meaning) =
        forms.filter_map(|form| INDEX.at(tokens, form)).max_by_key(|(length, _)| *length)?;
    Some(Found { length, meaning, misspelt: None })
}

/// The keyword that a word most likely is meant to be: one letter apart.
pub fn misspelt(tokens: &[Token]) -> Option<Found> {
    let first = tokens.first().filter(|t| t.kind == Kind::Word)?;
    let word = first.text.as_str();
    if word.len() < SHORTEST_MISSPELT || !word.is_ascii() {
        return None;
    }
    let lengths = [word.len(), word.len() - 1, word.len() + 1];
    let known = lengths.iter().filter_map(|length| INDEX.words.get(length)).flatten();
    let near = known.copied().find(|known| one_apart(word.as_bytes(), known.as_bytes()))?;
    let (length, meaning) = INDEX.at(tokens, near)?;
    Some(Found { length, meaning, misspelt: Some(near) })
}

/// Whether a word says nothing about an image.
pub fn is_filler(word: &str) -> bool {
    INDEX.fillers.contains(word)
}

/// Whether one letter more, less or other, or two changed places, lead from one to the other.
fn one_apart(a: &[u8], b: &[u8]) -> bool {
    let same = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (&a[same..], &b[same..]);
    match (rest_a, rest_b) {
        ([x1, x2, x @ ..], [y1, y2, y @ ..]) if x1 == y2 && x2 == y1 && x == y => true,
        ([_, x @ ..], [_, y @ ..]) if x == y => true,
        ([_, x @ ..], y) if x == y => true,
        (x, [_, y @ ..]) if x == y => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tokens::tokens;

    fn field(prompt: &str) -> Option<String> {
        let tokens = tokens(prompt);
        let found = phrase(&tokens).or_else(|| misspelt(&tokens))?;
        match found.meaning {
            Meaning::Keyword(keyword) => Some(keyword.words[0].clone()),
            Meaning::Cue(cue) => Some(format!("{cue:?}")),
            Meaning::Zone(zone) => Some(zone.to_owned()),
            Meaning::Language { locale, .. } => Some(locale.to_owned()),
            Meaning::Layout(layout) => Some(layout.to_owned()),
        }
    }

    #[test]
    fn the_longest_phrase_wins() {
        assert_eq!(field("docker-compose"), Some("docker compose".into()));
        assert_eq!(field("docker and"), Some("docker".into()));
        assert_eq!(field("secure boot"), Some("secure boot".into()));
        assert_eq!(field("no problem"), Some("NotOnly".into()));
        assert_eq!(field("no docker"), Some("No".into()));
        assert_eq!(field("snapshots"), Some("snapshot".into()));
        assert_eq!(field("Node.js"), Some("nodejs".into()));
    }

    #[test]
    fn a_letter_may_be_wrong() {
        assert_eq!(field("debain"), Some("debian".into()));
        assert_eq!(field("ngnix"), Some("nginx".into()));
        assert_eq!(field("kubernets"), Some("kubernetes".into()));
        assert_eq!(field("hyprlnd"), Some("hyprland".into()));
        for other in ["debra", "vom", "xfs2", "kde5", "grouped"] {
            assert_eq!(field(other), None, "{other}");
        }
    }

    #[test]
    fn edits() {
        for (a, b, near) in [
            ("abc", "acb", true),
            ("abc", "abd", true),
            ("abc", "ab", true),
            ("abc", "abcd", true),
            ("abc", "xbc", true),
            ("abc", "cba", false),
            ("abc", "axx", false),
            ("abc", "abcde", false),
        ] {
            assert_eq!(one_apart(a.as_bytes(), b.as_bytes()), near, "{a} {b}");
        }
    }
}
