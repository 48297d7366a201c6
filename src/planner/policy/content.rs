//! Rules on the root filesystem of a finished build.

use super::Report;
use crate::model::policy::{Content, ContentEntry, ContentKind, Pattern, Requirement, Rule, Stage};

/// So many paths are named for one rule.
const NAMED: usize = 10;
/// Set-user-ID and set-group-ID.
const PRIVILEGED: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const WORLD_WRITABLE: u32 = 0o002;

const BY_SPEC: &str =
    "Take out the package or overlay file that brings it, or put it right in a post-install script.";

pub(super) fn judge(rule: &Rule, content: &Content, report: &mut Report<'_>) {
    match &rule.requirement {
        Requirement::AbsentPaths(patterns) => {
            let there = |entry: &&ContentEntry| patterns.iter().any(|p| p.matches(&entry.path));
            let paths = content.entries.iter().filter(there).map(|e| e.path.clone());
            each(report, "spec", paths, |path| format!("{path} must not be there"));
        }
        Requirement::PresentPaths(patterns) => {
            let missing = |p: &&Pattern| !content.entries.iter().any(|e| p.matches(&e.path));
            for pattern in patterns.iter().filter(missing) {
                report.add(
                    Stage::Content,
                    "spec",
                    format!("{} has to be there and is not", pattern.as_str()),
                    "Add the package or overlay file that brings it.",
                );
            }
        }
        Requirement::SetuidOnly(allowed) => {
            let wrong = |entry: &&ContentEntry| {
                entry.kind == ContentKind::File
                    && entry.mode & PRIVILEGED != 0
                    && !allowed.iter().any(|p| p.matches(&entry.path))
            };
            let paths = content.entries.iter().filter(wrong);
            each(report, "spec", paths.map(|e| format!("{} (mode {:o})", e.path, e.mode)), |file| {
                format!(
                    "{file} runs with the rights of its owner or group, and is not among the files that may"
                )
            });
        }
        Requirement::NoEmptyPasswords => passwords(content, report),
        Requirement::NoWorldWritable => {
            let wrong = |entry: &&ContentEntry| match entry.kind {
                ContentKind::File => entry.mode & WORLD_WRITABLE != 0,
                ContentKind::Folder => entry.mode & WORLD_WRITABLE != 0 && entry.mode & STICKY == 0,
                ContentKind::Symlink | ContentKind::Special => false,
            };
            let paths = content.entries.iter().filter(wrong);
            each(report, "spec", paths.map(|e| format!("{} (mode {:o})", e.path, e.mode)), |file| {
                format!("anybody may write to {file}")
            });
        }
        Requirement::FileModes(modes) => {
            for (pattern, most) in modes {
                let wrong = |entry: &&ContentEntry| {
                    matches!(entry.kind, ContentKind::File | ContentKind::Folder)
                        && entry.mode & !most != 0
                        && pattern.matches(&entry.path)
                };
                let paths = content.entries.iter().filter(wrong);
                each(report, "spec", paths.map(|e| format!("{} has mode {:04o}", e.path, e.mode)), |file| {
                    format!("{file}, at most {most:04o} is allowed")
                });
            }
        }
        _ => {}
    }
}

/// One finding for each path, up to a number; the last one says how many more there are.
fn each(
    report: &mut Report<'_>,
    field: &str,
    paths: impl Iterator<Item = String>,
    words: impl Fn(&str) -> String,
) {
    let paths: Vec<String> = paths.collect();
    for (number, path) in paths.iter().take(NAMED).enumerate() {
        let more = match paths.len() - NAMED.min(paths.len()) {
            more if number + 1 == NAMED && more > 0 => format!(" (and {more} more)"),
            _ => String::new(),
        };
        report.add(Stage::Content, field, format!("{}{more}", words(path)), BY_SPEC);
    }
}

/// Accounts without a password hash: an empty second field lets anybody in (passwd(5), shadow(5)).
fn passwords(content: &Content, report: &mut Report<'_>) {
    for (file, text) in [("/etc/shadow", &content.shadow), ("/etc/passwd", &content.passwd)] {
        for line in text.iter().flat_map(|text| text.lines()) {
            let mut fields = line.split(':');
            if let (Some(name), Some("")) = (fields.next(), fields.next())
                && !name.is_empty()
            {
                report.add(
                    Stage::Content,
                    "spec.defaults.users",
                    format!("account {name} has an empty password in {file}"),
                    "Give it a `passwordHash`, or lock it in a post-install script; a device gets `etc/shadow` in its overlay.",
                );
            }
        }
    }
}
