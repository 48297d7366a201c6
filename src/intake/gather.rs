//! Marks → fields: each with the words that it came from; and what contradicts what.

use super::marks::{Mark, What, Wish};
use super::scope::is_alternative;
use super::{Clash, Note, Origin, Reading, Said, Unread};
use crate::tables::keywords::{Cue, keywords};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// One value that somebody asks for.
#[derive(Clone, Debug)]
struct Entry {
    path: String,
    value: Value,
    list: bool,
    mark: usize,
    /// How many corrections stand before it.
    corrections: usize,
}

/// The fields that a prompt's marks ask for.
pub fn gather(text: &str, marks: &[Mark]) -> Reading {
    let mut gatherer =
        Gatherer { text, marks, reading: Reading::default(), entries: Vec::new(), marks_of: Vec::new() };
    gatherer.collect();
    gatherer.resolve();
    gatherer.refusals();
    gatherer.incomplete();
    gatherer.mere_presence();
    gatherer.unread();
    gatherer.implied();
    gatherer.reading
}

struct Gatherer<'a> {
    text: &'a str,
    marks: &'a [Mark],
    reading: Reading,
    entries: Vec<Entry>,
    /// For each field of the reading: the marks that it came from, and the corrections before.
    marks_of: Vec<(Vec<usize>, usize)>,
}

impl Gatherer<'_> {
    fn wish(&self, at: usize) -> Option<&Wish> {
        match &self.marks[at].what {
            What::Wish(wish) if !self.marks[at].ignored => Some(wish),
            _ => None,
        }
    }

    fn words(&self, at: usize) -> Range<usize> {
        self.marks[at].span.clone()
    }

    fn collect(&mut self) {
        let dropped = self.alternatives();
        let mut corrections = 0;
        let mut past: Vec<Entry> = Vec::new();
        for at in 0..self.marks.len() {
            if matches!(self.marks[at].what, What::Cue(Cue::Correct, _)) {
                corrections += 1;
            }
            let Some(wish) = self.wish(at) else { continue };
            if dropped.contains(&at) {
                continue;
            }
            if let Some(note) = &wish.note {
                let span = self.words(at);
                let message = format!("“{}” was {note}", &self.text[span.clone()]);
                self.reading.notes.push(Note { message, span });
            }
            let Some(wish) = self.wish(at) else { continue };
            let entry = |(path, value): &(String, Value), list| Entry {
                path: path.clone(),
                value: value.clone(),
                list,
                mark: at,
                corrections,
            };
            let mark = &self.marks[at];
            let mut new: Vec<Entry> = Vec::new();
            if mark.refused {
                new.extend(wish.not.iter().map(|pair| entry(pair, false)));
            } else {
                new.extend(wish.set.iter().map(|pair| entry(pair, false)));
                new.extend(wish.add.iter().map(|pair| entry(pair, true)));
            }
            if mark.past { past.extend(new) } else { self.entries.extend(new) }
        }
        // What is only told about counts where nothing else is said.
        let said: BTreeSet<&str> = self.entries.iter().map(|e| e.path.as_str()).collect();
        let more: Vec<Entry> = past.into_iter().filter(|e| !said.contains(e.path.as_str())).collect();
        self.entries.extend(more);
        self.sudo();
    }

    /// Of the two sides of an "or" the one is taken that is named again, else the first.
    fn alternatives(&mut self) -> BTreeSet<usize> {
        let mut dropped = BTreeSet::new();
        let wishes: Vec<usize> = (0..self.marks.len())
            .filter(|at| self.wish(*at).is_some_and(|w| !w.set.is_empty() || !w.add.is_empty()))
            .collect();
        let key = |wish: &Wish| format!("{:?}{:?}", wish.set, wish.add);
        let mut said: HashMap<String, usize> = HashMap::new();
        for wish in wishes.iter().filter(|at| !self.marks[**at].refused).filter_map(|at| self.wish(*at)) {
            *said.entry(key(wish)).or_default() += 1;
        }
        for pair in wishes.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            let (Some(a), Some(b)) = (self.wish(first), self.wish(second)) else { continue };
            let open = !self.marks[first].refused && !self.marks[second].refused;
            if !open || a.category != b.category || a.category == "proof" || a.category == "user" {
                continue;
            }
            if !is_alternative(self.marks, first, second) {
                continue;
            }
            let again = said.get(&key(b)).is_some_and(|count| *count > 1);
            let (kept, left) = if again { (second, first) } else { (first, second) };
            dropped.insert(left);
            let (kept, left) = (self.words(kept), self.words(left));
            let message =
                format!("of “{}” and “{}” the first was taken", &self.text[kept.clone()], &self.text[left]);
            let message =
                if again { message.replace("the first was", "the one named again was") } else { message };
            self.reading.notes.push(Note { message, span: kept });
        }
        dropped
    }

    /// Gives rights to the account that was named last before them.
    fn sudo(&mut self) {
        let mut rest = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            if entry.path != "sudo" {
                rest.push(entry);
                continue;
            }
            let user = rest
                .iter_mut()
                .rev()
                .find(|e: &&mut Entry| e.path == "defaults.users" && e.mark < entry.mark);
            match user {
                Some(user) => user.value["sudo"] = Value::from(true),
                None => {
                    let hint = "Say for whom: `user anna with sudo`.";
                    let span = self.marks[entry.mark].span.clone();
                    self.reading.unread.push(Unread { span, hint: Some(hint.to_owned()) });
                }
            }
        }
        self.entries = rest;
        self.same_user();
    }

    /// "users anna and bob, anna with sudo" are two accounts.
    fn same_user(&mut self) {
        let mut entries: Vec<Entry> = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            let name = entry.value.get("name").cloned();
            let same =
                |other: &&mut Entry| other.path == entry.path && other.value.get("name") == name.as_ref();
            let known = if entry.path == "defaults.users" { entries.iter_mut().find(same) } else { None };
            match known {
                Some(known) if entry.value.get("sudo").is_some() => known.value = entry.value,
                Some(_) => {}
                None => entries.push(entry),
            }
        }
        self.entries = entries;
    }

    fn resolve(&mut self) {
        for entry in std::mem::take(&mut self.entries) {
            let same = |said: &Said| said.path == entry.path && (!entry.list || said.value == entry.value);
            let Some(at) = self.reading.fields.iter().position(same) else {
                self.push(entry);
                continue;
            };
            let span = self.words(entry.mark);
            let said = &mut self.reading.fields[at];
            if said.value == entry.value {
                if said.words.last() != Some(&span) {
                    said.words.push(span);
                    self.marks_of[at].0.push(entry.mark);
                }
            } else if entry.path == "securityLevel" {
                // "secure, even hardened": the stronger one holds.
                if strength(&entry.value) > strength(&said.value) {
                    said.value = entry.value;
                    said.words.push(span);
                }
            } else if entry.corrections > self.marks_of[at].1 {
                self.replace(at, entry);
            } else {
                let (old, new) = (shown(&said.value), shown(&entry.value));
                let first = said.words.first().cloned().unwrap_or_default();
                let message = format!(
                    "“{}” asks for {old} and “{}” for {new}; {old} was taken",
                    &self.text[first.clone()],
                    &self.text[span.clone()]
                );
                self.clash(&entry.path.clone(), message, first, span);
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        let words = vec![self.words(entry.mark)];
        self.marks_of.push((vec![entry.mark], entry.corrections));
        let Entry { path, value, list, .. } = entry;
        self.reading.fields.push(Said { path, value, list, words, origin: Origin::Words });
    }

    /// Puts a correction in the place of what it corrects, and of what was said with that.
    fn replace(&mut self, at: usize, entry: Entry) {
        let old: Vec<usize> = self.marks_of[at].0.clone();
        let mut kept = Vec::new();
        for (said, marks) in
            std::mem::take(&mut self.reading.fields).into_iter().zip(std::mem::take(&mut self.marks_of))
        {
            let with_it = marks.0.iter().all(|mark| old.contains(mark));
            if !with_it {
                kept.push((said, marks));
            }
        }
        (self.reading.fields, self.marks_of) = kept.into_iter().unzip();
        self.push(entry);
    }

    fn clash(&mut self, path: &str, message: String, first: Range<usize>, second: Range<usize>) {
        self.reading.clashes.push(Clash { path: path.to_owned(), message, words: [first, second] });
    }

    /// What is refused must not be asked for as well.
    fn refusals(&mut self) {
        let mut corrections = 0;
        for at in 0..self.marks.len() {
            if matches!(self.marks[at].what, What::Cue(Cue::Correct, _)) {
                corrections += 1;
            }
            let Some(wish) = self.wish(at) else { continue };
            let refuses = wish.keyword.is_some_and(|k| k.refuses);
            if !self.marks[at].refused && !refuses {
                continue;
            }
            let branch = wish.keyword.and_then(|k| k.clears.as_deref()).map(|b| format!("{b}."));
            let values: Vec<(String, Value)> = wish.set.iter().chain(&wish.add).cloned().collect();
            // "bookworm, not trixie" says nothing against Debian, which both are.
            let is_said = |(path, value): &(String, Value)| {
                self.reading.fields.iter().any(|said| said.path == *path && said.value == *value)
            };
            let all_said = wish.not.is_empty() && values.iter().all(is_said);
            let span = self.words(at);
            let mut kept = Vec::new();
            let fields = std::mem::take(&mut self.reading.fields);
            for (said, marks) in fields.into_iter().zip(std::mem::take(&mut self.marks_of)) {
                let below = branch.as_ref().is_some_and(|b| said.path.starts_with(b.as_str()));
                let same =
                    all_said && values.iter().any(|(path, value)| *path == said.path && *value == said.value);
                if !below && !same {
                    kept.push((said, marks));
                    continue;
                }
                if corrections > marks.1 {
                    // It was taken back.
                    continue;
                }
                if marks.1 <= corrections {
                    let first = said.words.first().cloned().unwrap_or_default();
                    let message = format!(
                        "“{}” asks for {}, and “{}” is refused; it was left in",
                        &self.text[first.clone()],
                        shown(&said.value),
                        &self.text[span.clone()]
                    );
                    self.reading.clashes.push(Clash {
                        path: said.path.clone(),
                        message,
                        words: [first, span.clone()],
                    });
                }
                kept.push((said, marks));
            }
            (self.reading.fields, self.marks_of) = kept.into_iter().unzip();
            if self.marks[at].refused {
                self.reading.refused.push(span);
            }
        }
    }

    /// Fields that mean nothing without another one are not written.
    fn incomplete(&mut self) {
        let rules = [
            ("backup.", "backup.tool", "Say with what: borg or restic."),
            ("filesystem.swap.", "filesystem.swap.size", "Say how large: `4 GB swap`."),
        ];
        for (branch, needed, hint) in rules {
            if self.reading.fields.iter().any(|said| said.path == needed) {
                continue;
            }
            let fields = std::mem::take(&mut self.reading.fields);
            let (dropped, kept): (Vec<Said>, Vec<Said>) =
                fields.into_iter().partition(|f| f.path.starts_with(branch));
            self.reading.fields = kept;
            let words: BTreeSet<(usize, usize)> =
                dropped.iter().flat_map(|said| &said.words).map(|w| (w.start, w.end)).collect();
            let unread = words
                .into_iter()
                .map(|(start, end)| Unread { span: start..end, hint: Some(hint.to_owned()) });
            self.reading.unread.extend(unread);
        }
    }

    /// "a firewall" says nothing more than "a firewall with nftables" does: its words go there.
    fn mere_presence(&mut self) {
        let fields = std::mem::take(&mut self.reading.fields);
        let empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        let (mere, mut kept): (Vec<Said>, Vec<Said>) =
            fields.into_iter().partition(|said| empty(&said.value));
        for said in mere {
            let branch = format!("{}.", said.path);
            match kept.iter_mut().find(|other| other.path.starts_with(&branch)) {
                Some(other) => {
                    other.words.extend(said.words);
                    other.words.sort_by_key(|words| words.start);
                    other.words.dedup();
                }
                None => kept.push(said),
            }
        }
        self.reading.fields = kept;
    }

    fn unread(&mut self) {
        let mut last_unread = None;
        for at in 0..self.marks.len() {
            let mark = &self.marks[at];
            let hint = match &mark.what {
                What::Unread(hint) => Some(hint.clone()),
                What::Wish(wish) if !mark.refused && !mark.ignored => {
                    let ask = wish.keyword.and_then(|k| Some((k.needs.as_deref()?, k.ask.clone()?)));
                    ask.filter(|(needs, _)| !self.is_said(needs)).map(|(_, ask)| Some(ask))
                }
                _ => None,
            };
            let Some(hint) = hint else { continue };
            // "meaning of life" is one thing, not two.
            let filler = |at: usize| matches!(self.marks[at].what, What::Filler(_));
            let next_to =
                last_unread.is_some_and(|last: usize| last + 1 == at || (last + 2 == at && filler(last + 1)));
            match self.reading.unread.last_mut() {
                Some(last) if next_to && hint.is_none() && last.hint.is_none() => {
                    last.span.end = mark.span.end
                }
                _ => self.reading.unread.push(Unread { span: mark.span.clone(), hint }),
            }
            last_unread = Some(at);
        }
        self.reading.unread.sort_by_key(|unread| (unread.span.start, unread.span.end));
        self.reading.unread.dedup();
    }

    fn is_said(&self, branch: &str) -> bool {
        self.reading.fields.iter().any(|said| {
            said.path.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    fn implied(&mut self) {
        for (path, values) in &keywords().implied {
            let said = self.reading.fields.iter().find(|said| said.path == *path);
            let Some((said, fields)) = said.and_then(|said| Some((said, values.get(said.value.as_str()?)?)))
            else {
                continue;
            };
            let (words, from) = (said.words.clone(), shown(&said.value));
            for (path, value) in fields {
                if !self.is_said(path) {
                    let origin = Origin::Follows(from.clone());
                    let words = words.clone();
                    self.reading.fields.push(Said {
                        path: path.clone(),
                        value: value.clone(),
                        list: false,
                        words,
                        origin,
                    });
                }
            }
        }
    }
}

fn strength(level: &Value) -> usize {
    ["minimal", "standard", "hardened"].iter().position(|name| level == name).unwrap_or_default()
}

/// A value as a reader sees it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "it".to_owned(),
        Value::Bool(false) => "none of it".to_owned(),
        Value::Object(map) if map.is_empty() => "it".to_owned(),
        value => value.to_string(),
    }
}
