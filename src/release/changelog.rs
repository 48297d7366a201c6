//! What changed since the release before: values for the download page, Markdown for the file.
//!
//! Subjects of commits, package versions and settings are others' texts: Markdown in them is
//! shown, never obeyed.

use crate::model::artifact::ArtifactKind;
use crate::model::lock::PackageChange;
use crate::model::name::Version;
use crate::model::product::Lock;
use crate::model::release::{FileRole, Manifest, ReleaseFile};
use crate::model::spec::Size;
use std::fmt::Write as _;

/// The name of the file.
pub const FILE_NAME: &str = "CHANGELOG.md";
/// More commits than this are only counted.
const MOST_COMMITS: usize = 50;

/// What the caller knows about a change.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The subjects of the commits since the release before, newest first.
    pub commits: Vec<CommitLine>,
    /// Changes of configuration, one a line: `configuration.hostname: edge → gate`.
    pub configuration: Vec<String>,
}

/// One commit in a changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitLine {
    /// The object id.
    pub id: String,
    /// The first line of the message.
    pub subject: String,
}

/// What changed since the release before.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The release before; none for the first one.
    pub previous: Option<Version>,
    /// Packages that differ.
    pub packages: Vec<PackageChange>,
    /// The artifacts of the new release.
    pub artifacts: Vec<ArtifactChange>,
    /// As the caller gave them.
    pub inputs: Inputs,
}

/// One artifact and its size before.
#[derive(Clone, Debug)]
pub struct ArtifactChange {
    /// Its file.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its size in bytes.
    pub size: u64,
    /// The size in bytes of the artifact of the same kind in the release before.
    pub before: Option<u64>,
}

impl Changes {
    /// Compares a new release with the one before.
    pub fn between(
        previous: Option<(&Manifest, &Lock)>,
        files: &[ReleaseFile],
        lock: &Lock,
        inputs: Inputs,
    ) -> Self {
        let before = |kind: ArtifactKind, name: &str| {
            let (manifest, _) = previous?;
            // Of one kind a firmware has several, with the release in their names.
            let same = |f: &&ReleaseFile| kind != ArtifactKind::Firmware || purpose(&f.name) == purpose(name);
            let mut of_kind = manifest.files.iter().filter(|f| f.role == FileRole::Artifact(kind));
            of_kind.find(same).map(|f| f.size)
        };
        let artifacts = files
            .iter()
            .filter_map(|file| match file.role {
                FileRole::Artifact(kind) => Some(ArtifactChange {
                    name: file.name.clone(),
                    kind,
                    size: file.size,
                    before: before(kind, &file.name),
                }),
                _ => None,
            })
            .collect();
        Self {
            previous: previous.map(|(manifest, _)| manifest.version.clone()),
            packages: previous.map(|(_, old)| lock.changes_since(old)).unwrap_or_default(),
            artifacts,
            inputs,
        }
    }

    /// The sum of the size differences of all packages, in bytes.
    pub fn package_bytes(&self) -> i64 {
        self.packages
            .iter()
            .map(|change| match change {
                PackageChange::Added { size_delta, .. }
                | PackageChange::Removed { size_delta, .. }
                | PackageChange::Changed { size_delta, .. } => *size_delta,
            })
            .fold(0, i64::saturating_add)
    }

    /// The changelog as Markdown.
    pub fn to_markdown(&self, title: &str) -> String {
        let mut text = format!("# {}\n\n", escape(title));
        match &self.previous {
            Some(previous) => {
                let _ = writeln!(text, "Changes since {}.", code(previous.as_str()));
            }
            None => text.push_str("The first release.\n"),
        }
        self.write_commits(&mut text);
        if !self.inputs.configuration.is_empty() {
            text.push_str("\n## Configuration\n\n");
            for line in &self.inputs.configuration {
                let _ = writeln!(text, "- {}", escape(line));
            }
        }
        self.write_packages(&mut text);
        text.push_str("\n## Files\n\n");
        for artifact in &self.artifacts {
            let _ = writeln!(text, "- {}: {}", code(&artifact.name), artifact.words());
        }
        text
    }

    fn write_commits(&self, text: &mut String) {
        let commits = &self.inputs.commits;
        if commits.is_empty() {
            return;
        }
        text.push_str("\n## Commits\n\n");
        for commit in commits.iter().take(MOST_COMMITS) {
            let short: String = commit.id.chars().take(12).collect();
            let _ = writeln!(text, "- {} {}", code(&short), escape(&commit.subject));
        }
        if commits.len() > MOST_COMMITS {
            let _ = writeln!(text, "- and {} more", commits.len() - MOST_COMMITS);
        }
    }

    fn write_packages(&self, text: &mut String) {
        if self.previous.is_none() {
            return;
        }
        text.push_str("\n## Packages\n\n");
        if self.packages.is_empty() {
            text.push_str("No package changed.\n");
            return;
        }
        for change in &self.packages {
            let _ = match change {
                PackageChange::Added { name, version, .. } => {
                    writeln!(text, "- added {} {}", code(name.as_str()), code(version))
                }
                PackageChange::Removed { name, version, .. } => {
                    writeln!(text, "- removed {} {}", code(name.as_str()), code(version))
                }
                PackageChange::Changed { name, from, to, .. } if from == to => {
                    writeln!(text, "- {} {}: same version, other bytes", code(name.as_str()), code(from))
                }
                PackageChange::Changed { name, from, to, .. } => {
                    writeln!(text, "- {} {} → {}", code(name.as_str()), code(from), code(to))
                }
            };
        }
        // Manifests of firmware know no sizes.
        if self.artifacts.iter().all(|artifact| artifact.kind != ArtifactKind::Firmware) {
            let _ = writeln!(text, "\nPackage files together: {}.", delta(self.package_bytes()));
        }
    }
}

/// What follows the release in the name of a firmware's image: `24.10.5-x86-64-…` → `x86-64-…`.
fn purpose(name: &str) -> &str {
    let rest = name.split_once('-').map_or(name, |(_, rest)| rest);
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && part.contains('.');
    match rest.split_once('-') {
        Some((release, rest)) if is_number(release) => rest,
        _ => rest,
    }
}

impl ArtifactChange {
    /// `321 MiB, 1.20 MiB more`.
    pub fn words(&self) -> String {
        let size = Size::from_bytes(self.size);
        match self.before {
            None => size.to_string(),
            Some(before) => {
                let difference = i64::try_from(i128::from(self.size) - i128::from(before)).unwrap_or(0);
                format!("{size}, {}", delta(difference))
            }
        }
    }
}

/// A difference of sizes in words: `1.20 MiB more`.
pub fn delta(bytes: i64) -> String {
    let size = Size::from_bytes(bytes.unsigned_abs());
    match bytes {
        0 => "same size".to_owned(),
        1.. => format!("{size} more"),
        _ => format!("{size} less"),
    }
}

/// Text that Markdown shows as it is, in one line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.push(' '),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '|' | '!'
            | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// Text in a code span whose fence is longer than any run of backticks in it.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("`{text}`") } else { format!("{fence} {text} {fence}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_of_others_is_shown_not_obeyed() {
        assert_eq!(escape("a [x](http://y) <b>\n# z"), "a \\[x\\]\\(http://y\\) \\<b\\> \\# z");
        assert_eq!(code("1.0"), "`1.0`");
        assert_eq!(code("a``b"), "``` a``b ```");
        let changes = Changes {
            previous: Some("20231114-ba7816bf".parse().unwrap()),
            packages: vec![
                PackageChange::Added {
                    name: "curl".parse().unwrap(),
                    version: "7.88".into(),
                    size_delta: 2048,
                },
                PackageChange::Changed {
                    name: "nginx".parse().unwrap(),
                    from: "1".into(),
                    to: "2`<script>".into(),
                    size_delta: -1024,
                },
            ],
            artifacts: vec![ArtifactChange {
                name: "a.iso".into(),
                kind: ArtifactKind::Iso,
                size: 3 << 20,
                before: Some(2 << 20),
            }],
            inputs: Inputs {
                commits: vec![CommitLine { id: "abcdef".into(), subject: "![x](javascript:1)".into() }],
                configuration: vec!["hostname: a → b".into()],
            },
        };
        let text = changes.to_markdown("demo 1");
        assert!(text.contains("- `nginx` `1` → `` 2`<script> ``"), "{text}");
        assert!(text.contains("\\!\\[x\\]\\(javascript:1\\)"), "{text}");
        assert!(text.contains("`a.iso`: 3.00 MiB, 1.00 MiB more"), "{text}");
        assert!(text.contains("1.00 KiB more."), "{text}");
    }

    #[test]
    fn many_commits_are_counted() {
        let commit = CommitLine { id: "a".into(), subject: "s".into() };
        let inputs = Inputs { commits: vec![commit; MOST_COMMITS + 3], configuration: Vec::new() };
        let changes = Changes { previous: None, packages: Vec::new(), artifacts: Vec::new(), inputs };
        let text = changes.to_markdown("x");
        assert!(text.contains("and 3 more") && text.contains("The first release."));
        assert!(!text.contains("## Packages"));
    }
}
