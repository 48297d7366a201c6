//! Names and paths with `*`, `**` and `?`.

use serde::{Serialize, Serializer};

/// A text in which `?` stands for one letter, `*` for any but `/`, and `**` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
    /// How many letters at the beginning stand for themselves.
    plain: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Letter(char),
    AnyLetter,
    AnyInFolder,
    Anything,
}

impl Pattern {
    /// Reads a pattern. Every text is one.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                '?' => Part::AnyLetter,
                '*' if letters.peek() == Some(&'*') => {
                    while letters.peek() == Some(&'*') {
                        letters.next();
                    }
                    Part::Anything
                }
                '*' => Part::AnyInFolder,
                letter => Part::Letter(letter),
            });
        }
        let plain = text.find(['*', '?']).unwrap_or(text.len());
        Self { text: text.to_owned(), parts, plain }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one text only.
    pub fn is_plain(&self) -> bool {
        self.plain == self.text.len()
    }

    /// Whether it stands for all of `text`. Takes time in proportion to both lengths,
    /// whatever the pattern: policies may come with a pull request.
    pub fn matches(&self, text: &str) -> bool {
        if self.is_plain() {
            return self.text == text;
        }
        if !text.as_bytes().starts_with(&self.text.as_bytes()[..self.plain]) {
            return false;
        }
        // The places in the pattern that the letters so far can have led to.
        let mut at = vec![false; self.parts.len() + 1];
        at[0] = true;
        self.skip_empty(&mut at);
        for letter in text.chars() {
            let mut next = vec![false; at.len()];
            for (place, part) in self.parts.iter().enumerate().filter(|(place, _)| at[*place]) {
                match part {
                    Part::Letter(own) if *own == letter => next[place + 1] = true,
                    Part::AnyLetter if letter != '/' => next[place + 1] = true,
                    Part::AnyInFolder if letter != '/' => next[place] = true,
                    Part::Anything => next[place] = true,
                    _ => {}
                }
            }
            self.skip_empty(&mut next);
            at = next;
        }
        at[self.parts.len()]
    }

    /// Stars may stand for nothing.
    fn skip_empty(&self, at: &mut [bool]) {
        for (place, part) in self.parts.iter().enumerate() {
            if at[place] && matches!(part, Part::AnyInFolder | Part::Anything) {
                at[place + 1] = true;
            }
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_stand_for() {
        for (pattern, text) in [
            ("nginx", "nginx"),
            ("nginx*", "nginx"),
            ("nginx*", "nginx-common"),
            ("*-dbg", "libc6-dbg"),
            ("lib?", "libc"),
            ("*", ""),
            ("*", "anything"),
            ("/etc/ssh/ssh_host_*", "/etc/ssh/ssh_host_rsa_key"),
            ("/root/**", "/root/.ssh/id_rsa"),
            ("/**/.git", "/srv/www/.git"),
            ("**.pyc", "/usr/lib/a/b.pyc"),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("nginx", "nginx-common"),
            ("nginx", "xnginx"),
            ("nginx?", "nginx"),
            ("*-dbg", "dbg"),
            ("/etc/*", "/etc/ssh/x"),
            ("/etc/ssh?x", "/etc/ssh/x"),
            ("/root/**", "/root"),
            ("Nginx", "nginx"),
            ("", "x"),
            ("ä*", "a"),
        ] {
            assert!(!Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_another() {
        let pattern = Pattern::new(&"*a".repeat(120));
        assert!(!pattern.matches(&"a".repeat(100)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(4000))));
    }
}
