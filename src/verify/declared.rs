//! What the checker in the image found, held against what the spec declared.

use super::judge::Judgement;
use crate::model::check::{Check, Expect};
use crate::model::probe::{Facts, Listening};
use crate::model::spec::Protocol;

/// How one check came out.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// As declared.
    Right,
    /// Otherwise, and it may become right by itself: a service that still starts.
    NotYet(String),
    /// Otherwise.
    Wrong(String),
}

/// All checks, in their order.
#[derive(Debug)]
pub struct Declared<'a> {
    outcomes: Vec<(&'a Check, Outcome)>,
}

impl<'a> Declared<'a> {
    /// Holds what was found against what was declared, for a live medium or another one. What
    /// was not answered is wrong.
    pub fn judge(checks: &'a [Check], facts: &Facts, live: bool) -> Self {
        let outcomes = checks
            .iter()
            .enumerate()
            .filter(|(_, check)| live || !check.live)
            .map(|(number, check)| {
                let outcome = match (&check.expect, facts.results.get(&number)) {
                    (Expect::Listen { protocol, port, outside }, _) => {
                        listen(facts, *protocol, *port, *outside)
                    }
                    (expect, Some(found)) => compare(expect, found),
                    (_, None) => Outcome::Wrong("no answer".to_owned()),
                };
                (check, outcome)
            })
            .collect();
        Self { outcomes }
    }

    /// Whether a later look may show what this one does not, and nothing is wrong for good.
    pub fn may_become_right(&self) -> bool {
        let any = |f: fn(&Outcome) -> bool| self.outcomes.iter().any(|(_, outcome)| f(outcome));
        any(|o| matches!(o, Outcome::NotYet(_))) && !any(|o| matches!(o, Outcome::Wrong(_)))
    }

    /// Whether everything is as declared.
    pub fn is_right(&self) -> bool {
        self.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Right)
    }

    /// One finding for each check, one reason for each that is not as declared.
    pub fn judgement(&self) -> Judgement {
        let mut judgement = Judgement::default();
        if self.outcomes.is_empty() {
            return judgement;
        }
        let right = self.outcomes.iter().filter(|(_, o)| *o == Outcome::Right).count();
        judgement.findings.push(format!("declared and found: {right} of {}", self.outcomes.len()));
        for (check, outcome) in &self.outcomes {
            let (field, expected) = (&check.field, expected(&check.expect));
            match outcome {
                Outcome::Right => judgement.findings.push(format!("{field}: {expected}: so it is")),
                Outcome::NotYet(found) | Outcome::Wrong(found) => {
                    let words = format!("{field}: expected {expected}, found {found}");
                    judgement.findings.push(words.clone());
                    judgement.reasons.push(words);
                }
            }
        }
        judgement
    }
}

/// What is expected, in a few words.
fn expected(expect: &Expect) -> String {
    match expect {
        Expect::Service { name, running: true } => format!("{name} to run"),
        Expect::Service { name, running: false } => format!("{name} not to run"),
        Expect::Timer { unit } => format!("{unit} to wait for its time"),
        Expect::Listen { protocol, port, outside } => {
            let from = match outside {
                Some(true) => " from outside",
                Some(false) => " from this machine only",
                None => "",
            };
            format!("port {port}/{} to answer{from}", protocol.as_str())
        }
        Expect::File { path, mode, owner, sha256 } => {
            let mode = mode.map(|mode| format!("mode {mode:04o}"));
            let owner = owner.as_ref().map(|owner| format!("owner {owner}"));
            let sha256 = sha256.map(|digest| format!("SHA-256 {}", digest.hex()));
            listed(path, [mode, owner, sha256])
        }
        Expect::Link { path, target } => format!("{path} to point to {target}"),
        Expect::Line { path, line } => format!("{line:?} in {path}"),
        Expect::User { name, shell, groups } => {
            let shell = shell.as_ref().map(|shell| format!("shell {shell}"));
            let groups = (!groups.is_empty()).then(|| format!("in {}", groups.join(", ")));
            listed(&format!("user {name}"), [shell, groups])
        }
        Expect::Sysctl { key, value } => format!("{key} = {value}"),
        Expect::Module { name, loaded: true } => format!("module {name} to be loaded"),
        Expect::Module { name, loaded: false } => format!("module {name} to be refused"),
        Expect::KernelFlag { word } => format!("{word} on the kernel command line"),
        Expect::Output { argv, contains } if contains.is_empty() => {
            format!("`{}` to succeed", argv.join(" "))
        }
        Expect::Output { argv, contains } => format!("{contains:?} from `{}`", argv.join(" ")),
        Expect::Mount { path, kind } => {
            listed(&format!("{path} to be mounted"), [kind.as_ref().map(|kind| format!("type {kind}"))])
        }
        Expect::Process { name } => format!("a process {name}"),
    }
}

fn listed<const N: usize>(first: &str, more: [Option<String>; N]) -> String {
    more.into_iter().flatten().fold(first.to_owned(), |text, part| format!("{text}, {part}"))
}

/// What the checker says (`model/probe/checker.sh`) against what is expected.
fn compare(expect: &Expect, found: &str) -> Outcome {
    match expect {
        Expect::Service { running, .. } => service(found, *running),
        Expect::Timer { .. } => timer(found),
        // Sockets are told apart from the checks.
        Expect::Listen { .. } => Outcome::Wrong(found.to_owned()),
        Expect::File { mode, owner, sha256, .. } => {
            file(found, *mode, owner.as_deref(), sha256.map(|d| d.hex()).as_deref())
        }
        Expect::Link { target, .. } => is(found, found.strip_prefix("link ") == Some(target)),
        Expect::Line { .. } | Expect::KernelFlag { .. } => is(found, found == "present"),
        Expect::User { shell, groups, .. } => user(found, shell.as_deref(), groups),
        Expect::Sysctl { value, .. } => {
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            is(found, found.strip_prefix("is ").map(words) == Some(words(value)))
        }
        Expect::Module { loaded: true, .. } => soon(found, found == "loaded"),
        Expect::Module { loaded: false, .. } => {
            is(if found == "absent" { "that it can still be loaded" } else { found }, found == "blocked")
        }
        Expect::Output { .. } => output(found),
        Expect::Mount { kind, .. } => {
            soon(found, found != "missing" && kind.as_deref().is_none_or(|kind| kind == found))
        }
        Expect::Process { .. } => soon(found, found == "present"),
    }
}

fn is(found: &str, right: bool) -> Outcome {
    if right { Outcome::Right } else { Outcome::Wrong(shown(found)) }
}

fn soon(found: &str, right: bool) -> Outcome {
    if right { Outcome::Right } else { Outcome::NotYet(shown(found)) }
}

fn shown(found: &str) -> String {
    let found = found.strip_prefix("is ").unwrap_or(found);
    if found.is_empty() { "nothing".to_owned() } else { found.to_owned() }
}

/// `LoadState ActiveState SubState Result` of a unit.
fn states(found: &str) -> Option<[&str; 4]> {
    let words: Vec<&str> = found.split_whitespace().collect();
    words.try_into().ok()
}

fn service(found: &str, running: bool) -> Outcome {
    let Some([load, active, sub, result]) = states(found) else { return Outcome::Wrong(shown(found)) };
    let words = match load {
        "not-found" => "no such service".to_owned(),
        _ if active == "failed" => format!("it failed ({result})"),
        _ => format!("it is {active} ({sub})"),
    };
    match (running, active) {
        (true, "active" | "reloading") => Outcome::Right,
        (true, "failed") => Outcome::Wrong(words),
        (true, _) if load != "loaded" => Outcome::Wrong(words),
        (true, _) => Outcome::NotYet(words),
        // A unit that is not there does not run either; one that nothing is known of may.
        (false, "inactive" | "failed") => Outcome::Right,
        (false, "deactivating") => Outcome::NotYet(words),
        (false, _) => Outcome::Wrong(words),
    }
}

fn timer(found: &str) -> Outcome {
    let Some([load, active, sub, _]) = states(found) else { return Outcome::Wrong(shown(found)) };
    match (active, sub) {
        ("active", "waiting" | "running") => Outcome::Right,
        _ if load != "loaded" => Outcome::Wrong("no such timer".to_owned()),
        ("active" | "failed", _) => Outcome::Wrong(format!("it is {active} ({sub})")),
        _ => Outcome::NotYet(format!("it is {active} ({sub})")),
    }
}

fn listen(facts: &Facts, protocol: Protocol, port: u16, outside: Option<bool>) -> Outcome {
    let of = |l: &&Listening| l.protocol == protocol && l.port == port;
    let sockets: Vec<_> = facts.listening.iter().filter(of).collect();
    let open = sockets.iter().any(|l| !l.loopback);
    match outside {
        _ if sockets.is_empty() => Outcome::NotYet("nobody there".to_owned()),
        Some(true) if !open => Outcome::NotYet("an answer for this machine only".to_owned()),
        Some(false) if open => Outcome::Wrong("that others can reach it".to_owned()),
        _ => Outcome::Right,
    }
}

/// `MODE OWNER SHA-256`, the mode hexadecimal with the file's type.
fn file(found: &str, mode: Option<u32>, owner: Option<&str>, sha256: Option<&str>) -> Outcome {
    let words: Vec<&str> = found.split_whitespace().collect();
    let [bits, its_owner, sum] = words[..] else { return Outcome::Wrong(shown(found)) };
    let Ok(bits) = u32::from_str_radix(bits, 16) else { return Outcome::Wrong(shown(found)) };
    let bits = bits & 0o7777;
    let mut wrong = Vec::new();
    if mode.is_some_and(|mode| mode != bits) {
        wrong.push(format!("mode {bits:04o}"));
    }
    if owner.is_some_and(|owner| owner != its_owner) {
        wrong.push(format!("owner {its_owner}"));
    }
    if sha256.is_some_and(|sha256| sha256 != sum) {
        wrong.push(format!("SHA-256 {sum}"));
    }
    if wrong.is_empty() { Outcome::Right } else { Outcome::Wrong(wrong.join(", ")) }
}

/// `SHELL GROUP…`.
fn user(found: &str, shell: Option<&str>, groups: &[String]) -> Outcome {
    let mut words = found.split_whitespace();
    let (its_shell, its_groups): (_, Vec<&str>) = (words.next().unwrap_or("missing"), words.collect());
    if its_shell == "missing" {
        return Outcome::Wrong("no such user".to_owned());
    }
    let mut wrong = Vec::new();
    if shell.is_some_and(|shell| shell != its_shell) {
        wrong.push(format!("shell {its_shell}"));
    }
    if groups.iter().any(|group| !its_groups.contains(&group.as_str())) {
        wrong.push(format!("in {}", its_groups.join(", ")));
    }
    if wrong.is_empty() { Outcome::Right } else { Outcome::Wrong(wrong.join(", ")) }
}

/// `STATUS yes|no FIRST-LINE`.
fn output(found: &str) -> Outcome {
    let mut words = found.splitn(3, ' ');
    let (status, there) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let line = match words.next() {
        Some(line) if !line.is_empty() => format!("{line:?}"),
        _ => "nothing".to_owned(),
    };
    match (status, there) {
        ("0", "yes") => Outcome::Right,
        ("0", _) => Outcome::NotYet(format!("other output, beginning with {line}")),
        ("124", _) => Outcome::NotYet("no end within 20 s".to_owned()),
        // env(1) and the shell's words for a program that is not there.
        ("126" | "127", _) => Outcome::Wrong(format!("status {status}: {line}")),
        _ => Outcome::NotYet(format!("status {status}: {line}")),
    }
}

#[cfg(test)]
#[path = "declared_tests.rs"]
mod tests;
