//! Secrets in clear text, anywhere in a document.
//!
//! A catalog is public to all who can read it, and stays so: what was committed once is
//! known. The message never shows what was found.

use super::rows::{Hits, rules};
use super::{Hit, Rule};
use crate::model::spec::OsImage;
use serde_json::Value;

/// The rule whose findings must not show the line that they are about.
pub(in crate::catalog) const SECRET: &str = "secret-in-clear-text";

rules! {
    "secret-in-clear-text" Error Validation ["spec", "metadata"]
    says "this looks like {kind}"
    does "Take it out, and make a new one: this one is known to all who can read the catalog's history."
    why "A commit is copied with every clone, and no later commit takes it back."
    => secrets,
}

fn secrets(image: &OsImage) -> Hits {
    let mut hits = Vec::new();
    // A spec that was read can be written: there is nothing in it that JSON has no form for.
    if let Ok(document) = serde_json::to_value(image) {
        walk(&document, String::new(), &mut hits);
    }
    hits
}

fn walk(value: &Value, path: String, hits: &mut Hits) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                // Hashes are made to be seen, as far as anything of a password is.
                if key != "passwordHash" {
                    walk(child, inner, hits);
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| walk(item, format!("{path}[{at}]"), hits));
        }
        Value::String(text) => {
            // Public keys look like chance, and are none of this.
            let public = path.contains("sshKeys") || path.ends_with(".revision");
            hits.extend(kind(text, public).map(|kind| Hit::at(path).with("kind", kind)));
        }
        _ => {}
    }
}

/// Beginnings of tokens that services give out, with the service.
const TOKENS: [(&str, usize, &str); 14] = [
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("github_pat_", 40, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("xoxb-", 20, "a Slack token"),
    ("xoxp-", 20, "a Slack token"),
    ("sk-", 20, "an API key of a language model"),
    ("AIza", 35, "a Google API key"),
    ("hf_", 30, "a Hugging Face token"),
    ("npm_", 36, "an npm token"),
    ("AGE-SECRET-KEY-1", 40, "an age key"),
];

fn kind(text: &str, public: bool) -> Option<&'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let lower = text.to_ascii_lowercase();
    for name in ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "api-key"] {
        let assigned = lower.match_indices(name).any(|(at, _)| {
            let rest = lower[at + name.len()..].trim_start();
            rest.strip_prefix(['=', ':']).is_some_and(|value| value.trim().len() >= 3)
        });
        if assigned {
            return Some("a password or token with its name before it");
        }
    }
    let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '='));
    for part in text.split(word) {
        for (start, least, kind) in TOKENS {
            if part.strip_prefix(start).is_some_and(|rest| rest.len() >= least) {
                return Some(kind);
            }
        }
        if !public && part.len() >= 32 && is_chance(part) {
            return Some("a key: a long text of letters by chance");
        }
    }
    None
}

/// Whether a text has letters of three kinds, and so many different ones that nobody would
/// write them (more than 4 bits of Shannon entropy in each).
fn is_chance(text: &str) -> bool {
    let kinds: [fn(&u8) -> bool; 3] = [u8::is_ascii_uppercase, u8::is_ascii_lowercase, u8::is_ascii_digit];
    if !kinds.iter().all(|kind| text.as_bytes().iter().filter(|b| kind(b)).count() >= 3) {
        return false;
    }
    let mut counts = [0u32; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: u32| f64::from(count) / length;
    let entropy: f64 = counts.iter().filter(|n| **n > 0).map(|n| -share(*n) * share(*n).log2()).sum();
    entropy > 4.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_looks() {
        for text in [
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "wifi.password=hunter2",
            "TOKEN: abcdef",
            "ghp_0123456789abcdefghijABCDEFGHIJ012345",
            "AKIAIOSFODNN7EXAMPLE1",
            "x=aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d",
        ] {
            assert!(kind(text, false).is_some(), "{text}");
        }
        for text in [
            "A small gateway with nginx, SSH and a closed firewall",
            "systemd.unified_cgroup_hierarchy=1",
            "https://github.com/somebody/dotfiles-of-a-person-with-a-long-name",
            "passwordless login for the token ring",
            "specs/scripts/enable-passwords.sh",
            "sk-ssh-ed25519",
        ] {
            assert_eq!(kind(text, false), None, "{text}");
        }
    }
}
