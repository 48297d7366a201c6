//! How far a "no" reaches, what corrects what, and what a loose number belongs to.

use super::marks::{Loose, Mark, What, Wish};
use super::numbers;
use crate::tables::keywords::{Cue, Topic};
use serde_json::Value;

/// Nothing that stands further away, in marks, belongs together.
const FAR: usize = 120;

/// Marks what is refused, thought better of or only told about.
pub fn scope(marks: &mut [Mark]) {
    for at in 0..marks.len() {
        let What::Cue(cue, strong) = marks[at].what else { continue };
        match cue {
            Cue::No if !strong && trailing(marks, at) => refuse_before(marks, at),
            Cue::No | Cue::Except => refuse_after(marks, at, strong || cue == Cue::Except),
            Cue::InsteadOf => refuse_next(marks, at),
            Cue::Refused => refuse_before(marks, at),
            Cue::Impossible => ignore_sentence(marks, at),
            Cue::Too => as_before(marks, at),
            Cue::Past => tell_only(marks, at),
            Cue::NotOnly | Cue::But | Cue::With | Cue::And | Cue::Or | Cue::Correct | Cue::Granted => {}
        }
    }
}

fn is_stop(mark: &Mark) -> bool {
    matches!(mark.what, What::Break(c) if c != ',')
}

fn is_wish(mark: &Mark) -> bool {
    matches!(mark.what, What::Wish(_) | What::Loose(_))
}

fn is_cue(mark: &Mark, wanted: Cue) -> bool {
    matches!(mark.what, What::Cue(cue, _) if cue == wanted)
}

fn category(mark: &Mark) -> &str {
    match &mark.what {
        What::Wish(wish) => &wish.category,
        _ => "",
    }
}

/// "mysql no": the word stands behind what it is about.
fn trailing(marks: &[Mark], at: usize) -> bool {
    let ends = marks.get(at + 1).is_none_or(|m| matches!(m.what, What::Break(_)));
    ends && at > 0 && is_wish(&marks[at - 1])
}

fn refuse_after(marks: &mut [Mark], from: usize, strong: bool) {
    // Unknown words between the "no" and what it is about: "no annoying docker".
    const MOST_UNREAD: usize = 3;
    let mut last: Option<String> = None;
    let mut unread = 0;
    let mut at = from + 1;
    while at < marks.len() {
        match &marks[at].what {
            What::Wish(_) | What::Loose(_) => {
                last = Some(category(&marks[at]).to_owned());
                marks[at].refused = true;
            }
            What::Unread(_) if last.is_some() => break,
            What::Unread(_) => {
                unread += 1;
                if unread > MOST_UNREAD {
                    break;
                }
            }
            What::Filler(true) if last.is_some() => break,
            What::Filler(_) | What::Cue(Cue::Or | Cue::Granted | Cue::Too, _) => {}
            What::Cue(Cue::And, _) => match (&last, next_wish(marks, at)) {
                (Some(last), Some(next)) if strong || last == category(&marks[next]) => {}
                (None, _) => {}
                _ => break,
            },
            What::Cue(Cue::With, _) if last.is_none() => {}
            What::Cue(..) => break,
            What::Break(',') if last.is_some() && list_ends_with_or(marks, at, strong) => {}
            What::Break(_) => break,
        }
        at += 1;
    }
}

/// The thing behind a joint, with nothing but fillers between.
fn next_wish(marks: &[Mark], from: usize) -> Option<usize> {
    let at = (from + 1..marks.len()).find(|at| !matches!(marks[*at].what, What::Filler(_)))?;
    is_wish(&marks[at]).then_some(at)
}

/// Whether the list that goes on here ends with "or": "no docker, podman or snap".
fn list_ends_with_or(marks: &[Mark], from: usize, strong: bool) -> bool {
    for mark in marks[from + 1..].iter().take(FAR) {
        match mark.what {
            What::Cue(Cue::Or, _) => return true,
            What::Cue(Cue::And, _) if strong => return true,
            What::Wish(_) | What::Filler(_) | What::Break(',') => {}
            _ => return false,
        }
    }
    false
}

/// "instead of gnome": one thing, or the two of an "or".
fn refuse_next(marks: &mut [Mark], from: usize) {
    let mut done = false;
    for mark in &mut marks[from + 1..] {
        match mark.what {
            What::Wish(_) if !done => {
                mark.refused = true;
                done = true;
            }
            What::Cue(Cue::Or, _) if done => done = false,
            What::Filler(_) => {}
            What::Unread(_) if !done => {}
            _ => break,
        }
    }
}

fn refuse_before(marks: &mut [Mark], from: usize) {
    let mut joined = true;
    let mut listed = false;
    let mut any = false;
    for at in (0..from).rev() {
        match marks[at].what {
            What::Wish(_) | What::Loose(_) if joined => {
                marks[at].refused = true;
                (joined, any) = (false, true);
            }
            What::Cue(Cue::And | Cue::Or, _) => (joined, listed) = (true, true),
            What::Break(',') if listed => joined = true,
            What::Break('?' | ',' | ':') if !any => {}
            What::Filler(_) | What::Cue(Cue::Granted, _) => {}
            _ => break,
        }
    }
}

fn ignore_sentence(marks: &mut [Mark], from: usize) {
    for at in (0..from).rev() {
        // What stands before one that is ignored was ignored with it.
        if is_stop(&marks[at]) || marks[at].ignored {
            break;
        }
        marks[at].ignored = true;
    }
}

/// "root login is off, password login too"
fn as_before(marks: &mut [Mark], from: usize) {
    let mut found = None;
    for at in (0..from).rev() {
        if is_stop(&marks[at]) {
            return;
        }
        if is_wish(&marks[at]) {
            match found {
                None => found = Some(at),
                Some(this) => {
                    let apart = (at..this).any(|between| {
                        matches!(marks[between].what, What::Break(',') | What::Cue(Cue::And, _))
                    });
                    marks[this].refused |= apart && marks[at].refused;
                    return;
                }
            }
        }
    }
}

/// "I have been using Ubuntu": what somebody has is not yet what is wanted.
fn tell_only(marks: &mut [Mark], from: usize) {
    let mut seen = false;
    for mark in &mut marks[from + 1..] {
        match mark.what {
            What::Wish(_) if ["distribution", "desktop"].contains(&category(mark)) => {
                mark.past = true;
                seen = true;
            }
            What::Filler(_) | What::Cue(Cue::And | Cue::Or, _) => {}
            What::Unread(_) if !seen => {}
            _ => break,
        }
    }
}

/// Gives loose numbers and times to what they are about.
pub fn settle(marks: &mut [Mark]) {
    for at in 0..marks.len() {
        let What::Loose(loose) = marks[at].what.clone() else { continue };
        let wish = match loose {
            Loose::Times(times) => {
                let topics = [Topic::Backup, Topic::Snapshots, Topic::Updates, Topic::Rebuild];
                match topic(marks, at, &topics) {
                    Some(Topic::Backup) => Wish::set("backup", "backup.schedule", times.cron),
                    Some(Topic::Snapshots) => {
                        let mut wish =
                            Wish::set("snapshots", "filesystem.snapshots.interval", times.interval);
                        wish.set.push(("filesystem.snapshots.enabled".to_owned(), Value::from(true)));
                        wish
                    }
                    Some(Topic::Updates) => {
                        Wish::set("updates", "securityFeatures.updates.schedule", times.cron)
                    }
                    _ => Wish::set("schedule", "schedule", times.cron),
                }
            }
            Loose::Keep(kept) => match topic(marks, at, &[Topic::Backup, Topic::Snapshots]) {
                Some(Topic::Snapshots) => {
                    let Some((number, _)) = kept.first() else { continue };
                    Wish::set("snapshots", "filesystem.snapshots.retention", *number)
                }
                Some(Topic::Backup) => {
                    let mut wish = Wish { category: "backup".to_owned(), ..Wish::default() };
                    for (number, period) in kept {
                        let field = match period {
                            Some("hourly") => "keepHourly",
                            Some("weekly") => "keepWeekly",
                            Some("monthly") => "keepMonthly",
                            Some("yearly") => "keepYearly",
                            _ => "keepDaily",
                        };
                        wish.set.push((format!("backup.retention.{field}"), Value::from(number)));
                    }
                    wish
                }
                _ => {
                    marks[at].what = What::Unread(Some("Say what is kept: snapshots or backups.".to_owned()));
                    continue;
                }
            },
            Loose::Duration(text) => match topic(marks, at, &[Topic::Ban]) {
                Some(_) => Wish::set("intrusion-prevention", "securityFeatures.ssh.banTime", text),
                None => {
                    marks[at].what = numbers::no_subject();
                    continue;
                }
            },
            Loose::Destination(place) => match topic(marks, at, &[Topic::Backup]) {
                Some(_) => Wish::add("backup", "backup.destinations", place),
                None => {
                    marks[at].what = What::Unread(None);
                    continue;
                }
            },
        };
        marks[at].what = What::Wish(Box::new(wish));
    }
}

/// The subject that stands nearest: before it in the sentence, behind it, or in the one before.
fn topic(marks: &[Mark], at: usize, wanted: &[Topic]) -> Option<Topic> {
    let of = |mark: &Mark| match &mark.what {
        What::Wish(wish) if !mark.refused => wish.topic.filter(|topic| wanted.contains(topic)),
        _ => None,
    };
    let sentence_end = |mark: &Mark| matches!(mark.what, What::Break('.' | '!' | '?' | '\n'));
    let before = marks[..at].iter().rev().take(FAR).take_while(|m| !sentence_end(m)).find_map(of);
    let after = || marks[at..].iter().take(FAR).take_while(|m| !sentence_end(m)).find_map(of);
    let earlier = || {
        let mut ends = 0;
        let near = marks[..at].iter().rev().take(FAR).take_while(|m| {
            ends += usize::from(sentence_end(m));
            ends < 2
        });
        near.into_iter().find_map(of)
    };
    before.or_else(after).or_else(earlier)
}

/// Whether two wishes are the two sides of an "or".
pub fn is_alternative(marks: &[Mark], first: usize, second: usize) -> bool {
    let between = &marks[first + 1..second];
    between.iter().any(|m| is_cue(m, Cue::Or))
        && between.iter().all(|m| matches!(m.what, What::Filler(_) | What::Cue(Cue::Or, _)))
}
