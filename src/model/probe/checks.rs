//! Checks on their way into the image: the lines that the checker reads.

use crate::model::check::{Check, Expect};
use std::fmt::Write as _;

/// The checks of an image as lines for its checker: `NUMBER KIND FIELD…`, numbered as they
/// stand in `checks`. Some are judged by other facts and have no line.
pub(super) fn lines(checks: &[Check]) -> String {
    let mut text = String::new();
    for (number, check) in checks.iter().enumerate() {
        if let Some((kind, fields)) = question(&check.expect) {
            let _ = write!(text, "{number} {kind}");
            for field in &fields {
                let _ = write!(text, " {}", escaped(field));
            }
            text.push('\n');
        }
    }
    text
}

/// What is asked of the system, in the checker's words. Expected values stay here wherever
/// they can: who does not know the right answer cannot repeat it.
fn question(expect: &Expect) -> Option<(&'static str, Vec<String>)> {
    Some(match expect {
        Expect::Service { name, .. } => ("service", vec![name.clone()]),
        Expect::Timer { unit } => ("timer", vec![unit.clone()]),
        // Every answer tells all sockets.
        Expect::Listen { .. } => return None,
        Expect::File { path, sha256, .. } => {
            let hash = if sha256.is_some() { "yes" } else { "no" };
            ("file", vec![path.clone(), hash.to_owned()])
        }
        Expect::Link { path, .. } => ("link", vec![path.clone()]),
        Expect::Line { path, line } => ("line", vec![path.clone(), line.trim().to_owned()]),
        Expect::User { name, .. } => ("user", vec![name.to_string()]),
        Expect::Sysctl { key, .. } => ("sysctl", vec![key.replace('.', "/")]),
        Expect::Module { name, .. } => ("module", vec![name.replace('-', "_")]),
        Expect::KernelFlag { word } => ("flag", vec![word.clone()]),
        Expect::Output { argv, contains } => {
            ("output", std::iter::once(contains).chain(argv).cloned().collect())
        }
        Expect::Mount { path, .. } => ("mount", vec![as_in_mounts(path)]),
        Expect::Process { name } => ("process", vec![name.clone()]),
    })
}

/// A field as one word for `printf %b` (POSIX): octal for everything that is not plain.
fn escaped(field: &str) -> String {
    if field.is_empty() {
        // "Print nothing more": an empty field that is still a word.
        return "\\c".to_owned();
    }
    let mut word = String::with_capacity(field.len());
    for byte in field.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._:@=+,-".contains(&byte) {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "\\0{byte:03o}");
        }
    }
    word
}

/// A path as `/proc/mounts` has it (man getmntent).
fn as_in_mounts(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(expect: Expect) -> String {
        lines(&[Check { field: "spec.x".to_owned(), expect, live: false }])
    }

    #[test]
    fn every_check_is_one_line_whatever_it_holds() {
        let hostile = "a b\n0 output \\c /bin/sh; $(reboot) `x` 'q' \\n * ü";
        let text = line(Expect::Output {
            argv: vec!["/bin/echo".to_owned(), hostile.to_owned(), String::new()],
            contains: String::new(),
        });
        assert_eq!(text.matches('\n').count(), 1);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((words.len(), words[2], words[3], words[5]), (6, "\\c", "/bin/echo", "\\c"));
        assert!(!text.contains(['$', '`', ';', '\'', '*']) && text.is_ascii(), "{text}");
        assert_eq!(line(Expect::Mount { path: "/a b".to_owned(), kind: None }), "0 mount /a\\0134040b\n");
    }

    #[test]
    fn numbers_are_places_and_right_answers_stay_behind() {
        let user = Expect::User {
            name: "ada".parse().unwrap(),
            shell: Some("/bin/zsh".to_owned()),
            groups: vec!["wheel".to_owned()],
        };
        let listen =
            Expect::Listen { protocol: crate::model::spec::Protocol::Tcp, port: 22, outside: Some(true) };
        let sysctl = Expect::Sysctl { key: "kernel.sysrq".to_owned(), value: "0".to_owned() };
        let checks: Vec<Check> = [listen, user, sysctl]
            .into_iter()
            .map(|expect| Check { field: "spec.x".to_owned(), expect, live: false })
            .collect();
        assert_eq!(lines(&checks), "1 user ada\n2 sysctl kernel/sysrq\n");
    }
}
