//! What may be said in public of what happened on a builder.
//!
//! A tool's last words name the host that it ran on: its folders, its users, its mirrors with
//! their passwords. On a download page none of that has any business. What cannot be told from
//! such a name is left out, too: a page that says too little harms nobody.

use core::net::IpAddr;

/// What stands for what was left out.
const LEFT_OUT: &str = "…";
/// Nothing longer is said, in characters.
const LONGEST: usize = 300;
/// Words with a dot that are no names of hosts: what files and units end with.
const ENDINGS: [&str; 34] = [
    "apk", "bin", "bz2", "cfg", "conf", "cpio", "deb", "efi", "gpg", "gz", "html", "img", "iso", "json",
    "ko", "list", "lock", "log", "mount", "path", "pub", "rpm", "service", "sh", "sig", "so", "socket",
    "squashfs", "tar", "target", "timer", "txt", "xz", "yaml",
];
/// What the names of packages end with, which may be said without their folders.
const PACKAGES: [&str; 4] = [".deb", ".rpm", ".apk", ".xbps"];

/// A text from a builder as it may stand on a public page: on one line, without paths, addresses,
/// users, hosts, and without the words in `own` (the builder's names).
pub fn wording(text: &str, own: &[String]) -> String {
    let mut said = String::new();
    let mut word = String::new();
    let visible = text.chars().filter(|c| !is_invisible(*c));
    for c in visible.map(|c| if c.is_control() { ' ' } else { c }) {
        if is_between(c) {
            said.push_str(&judged(&word, own));
            word.clear();
            if c != ' ' || !said.ends_with(' ') {
                said.push(c);
            }
        } else {
            word.push(c);
        }
    }
    said.push_str(&judged(&word, own));
    let said = said.trim();
    match said.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}{LEFT_OUT}", &said[..end]),
        None => said.to_owned(),
    }
}

/// Bidirectional controls and characters without width could hide a name from us.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{00AD}' | '\u{061C}')
}

/// What no path, address or name holds.
fn is_between(c: char) -> bool {
    c.is_whitespace() || "'\"`()<>{},;|=“”‘’«»".contains(c)
}

/// One word, or what stands for it.
fn judged(word: &str, own: &[String]) -> String {
    let bare = word.trim_end_matches(['.', ':', '!', '?']);
    let after = &word[bare.len()..];
    if bare.is_empty() || !tells(bare, own) {
        return word.to_owned();
    }
    let file = bare.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_package = PACKAGES.iter().any(|end| file.ends_with(end))
        && file.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c))
        && !is_own(file, own);
    match bare.contains('/') && is_package {
        true => format!("{LEFT_OUT}/{file}{after}"),
        false => format!("{LEFT_OUT}{after}"),
    }
}

/// Whether a word says something of the builder.
fn tells(word: &str, own: &[String]) -> bool {
    let is_path = word.starts_with(['/', '~', '\\', '$', '%'])
        || word.contains("://")
        || word.contains(":/")
        || word.contains('\\')
        || word.contains("../")
        || word.starts_with("./")
        || word.matches('/').count() > 1;
    // A percent sign may spell any of these in other letters.
    is_path
        || word.contains('@')
        || word.contains('%')
        || is_own(word, own)
        || word.split('/').any(|part| is_host(part.trim_matches(['[', ']'])))
}

fn is_own(word: &str, own: &[String]) -> bool {
    let word = word.to_lowercase();
    let is_name = |part: &str| own.iter().any(|name| !name.is_empty() && part == name.to_lowercase());
    let plain = |c: char| !c.is_alphanumeric() && c != '-' && c != '.' && c != '_';
    is_name(&word)
        || word.split(plain).any(is_name)
        || word.split(|c: char| !c.is_alphanumeric()).any(is_name)
        // A long name may stand inside another one: runner7 in runner7-disk.
        || own.iter().any(|name| name.len() > 4 && word.contains(&name.to_lowercase()))
}

/// Whether a word is, or may be, the name or the number of a host.
fn is_host(word: &str) -> bool {
    if word.parse::<IpAddr>().is_ok() {
        return true;
    }
    // Without a port: host:8080, [::1]:8080.
    let name = match word.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.trim_matches(['[', ']']),
        _ => word,
    };
    // A message often begins with a name: host.example: refused, 10.0.0.1:80:reset.
    name.parse::<IpAddr>().is_ok()
        || name.split(':').any(|part| part.parse::<IpAddr>().is_ok() || is_domain(part.trim_end_matches('.')))
}

fn is_domain(name: &str) -> bool {
    let Some((_, end)) = name.rsplit_once('.') else { return false };
    let letters = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '.';
    let ending = end.to_lowercase();
    name.chars().all(letters)
        && end.chars().count() > 1
        && !end.chars().all(|c| c.is_ascii_digit())
        && !ENDINGS.contains(&ending.as_str())
        // 1.2.3-4+deb12u1 and 5.10.0-21 are versions.
        && !name.starts_with(|c: char| c.is_ascii_digit() && !end.chars().all(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<String> {
        vec!["runner7.corp.example".to_owned(), "runner7".to_owned(), "alice".to_owned(), "ci".to_owned()]
    }

    #[test]
    fn nothing_of_the_builder_is_said() {
        let secrets = [
            "alice", "runner7", "corp", "hunter2", "10.1.2.3", "fd00", "/srv", "/home", "secret", "8443",
            "cache",
        ];
        for text in [
            "writing /srv/secret/cache/x: No space left on device",
            "cannot read '/home/alice/.ssh/secret'",
            "--root=/home/alice/secret failed",
            "Err:1 https://alice:hunter2@mirror.corp.example:8443/debian/secret bookworm InRelease",
            "Err:1 HTTPS://ALICE:hunter2@MIRROR.CORP.EXAMPLE/secret",
            "could not resolve mirror.corp.example",
            "could not resolve mirror.corp.example.: timed out",
            "connect to 10.1.2.3:8443 refused",
            "connect to 10.1.2.3: refused",
            "connect to [fd00::1]:8443 refused",
            "connect to fd00::1 failed",
            "ssh: alice@runner7: permission denied",
            "scp alice@runner7:/srv/secret",
            "runner7: disk is full",
            "the disk of RUNNER7 is full",
            "runner7-disk is full",
            "on host runner7.corp.example",
            "user alice is not in the group",
            "ALICE has no quota",
            "stdio:/srv/secret is full",
            "file:/srv/secret",
            "~alice/secret is gone",
            "../secret/key is gone",
            "./secret/key is gone",
            "home/alice/secret/x",
            "C:\\Users\\alice\\secret",
            "\\\\runner7\\secret",
            "line one\n/home/alice/secret",
            "/home/\u{200B}alice/secret",
            "ali\u{200B}ce and run\u{00AD}ner7",
            "open(\"/srv/secret\", O_RDONLY)",
            "$HOME/secret",
            "%2Fhome%2Falice%2Fsecret",
            "key=/srv/secret;user=alice",
            "a\u{202E}/home/alice/secret",
            "`/srv/secret`",
        ] {
            let said = wording(text, &own());
            for secret in secrets {
                assert!(!said.to_lowercase().contains(secret), "{secret:?} of {text:?} is said: {said:?}");
            }
            assert!(!said.contains('\n') && !said.chars().any(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn what_went_wrong_is_said() {
        for (text, said) in [
            ("No space left on device", "No space left on device"),
            ("writing /srv/x/y: No space left on device", "writing …: No space left on device"),
            ("nginx.service is not active", "nginx.service is not active"),
            ("package libc6 2.36-9+deb12u4 is gone", "package libc6 2.36-9+deb12u4 is gone"),
            ("kernel 6.1.0-18 has no module", "kernel 6.1.0-18 has no module"),
            ("http://m.example/pool/x/x_1.0_amd64.deb: 404", "…/x_1.0_amd64.deb: 404"),
            ("retry after 2026-11-21T12:00:00Z", "retry after 2026-11-21T12:00:00Z"),
            (
                "its digest is sha256:0123abcd, the manifest says sha256:4567cdef",
                "its digest is sha256:0123abcd, the manifest says sha256:4567cdef",
            ),
            ("error in the image. Then it stopped.", "error in the image. Then it stopped."),
            ("", ""),
        ] {
            assert_eq!(wording(text, &own()), said);
        }
        assert_eq!(wording(&"a ".repeat(1000), &[]).chars().count(), LONGEST + 1);
    }
}
