//! The host's own package sources → mirrors for `bootwright.yaml`.
//!
//! Both forms of sources.list(5) are read: one line (`*.list`) and deb822 (`*.sources`).
//! Only what serves Debian itself is taken: the suites `CODENAME`, `CODENAME-updates` and
//! `CODENAME-security`, written with `{suite}` in place of the code name.

use crate::model::settings::Mirror;
use crate::model::spec::Base;

/// The keyring that apt itself trusts for Debian's archives.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One repository as a source names it.
#[derive(Debug, Default)]
struct Entry {
    urls: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// The mirrors for Debian in source files, given as file name and text. Entries with the same
/// addresses, components and keyring become one mirror.
pub fn mirrors_from_apt(sources: &[(String, String)]) -> Vec<Mirror> {
    let mut mirrors: Vec<Mirror> = Vec::new();
    for (name, text) in sources {
        let entries = if name.ends_with(".sources") {
            stanzas(text)
        } else if name.ends_with(".list") {
            text.lines().filter_map(one_line).collect()
        } else {
            Vec::new()
        };
        entries.into_iter().filter_map(mirror).for_each(|found| merge(&mut mirrors, found));
    }
    mirrors
}

fn merge(mirrors: &mut Vec<Mirror>, found: Mirror) {
    let same = mirrors
        .iter_mut()
        .find(|m| m.urls == found.urls && m.keyring == found.keyring && m.components == found.components);
    match same {
        Some(mirror) => {
            for suite in found.suites {
                if !mirror.suites.contains(&suite) {
                    mirror.suites.push(suite);
                }
            }
        }
        None => mirrors.push(found),
    }
}

fn mirror(entry: Entry) -> Option<Mirror> {
    let urls: Vec<String> = entry.urls.iter().filter_map(|url| address(url)).collect();
    let suites: Vec<String> = entry.suites.iter().filter_map(|suite| generalised(suite)).collect();
    // An embedded key or a fingerprint is no path; a path with a space could not be listed.
    let keyring = match &entry.signed_by {
        None => KEYRING.to_owned(),
        Some(path) if path.starts_with('/') && !path.contains(char::is_whitespace) => path.clone(),
        Some(_) => return None,
    };
    let complete = !urls.is_empty() && !suites.is_empty() && !entry.components.is_empty();
    complete.then_some(Mirror {
        base: Base::DEBIAN,
        urls,
        suites,
        components: entry.components,
        keyring,
        unsigned_indexes: false,
    })
}

/// The address without what only apt understands; none if it is of a kind that we do not read.
fn address(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let known = ["http://", "https://", "file:///"].iter().any(|scheme| url.starts_with(scheme));
    let credentials = url.split('/').nth(2).is_some_and(|host| host.contains('@'));
    if known && !credentials { Some(url.to_owned()) } else { None }
}

/// `bookworm-security` becomes `{suite}-security`; none for suites that are not Debian's own.
fn generalised(suite: &str) -> Option<String> {
    let suite = suite.trim_end_matches('/');
    let (code_name, rest) = match suite.split_once('-') {
        Some((code_name, rest @ ("updates" | "security"))) => (code_name, format!("-{rest}")),
        Some(_) => return None,
        None => (suite, String::new()),
    };
    CODE_NAMES.contains(&code_name).then(|| format!("{{suite}}{rest}"))
}

/// Debian's releases and the names that move from one to the next.
const CODE_NAMES: [&str; 11] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "unstable",
    "testing",
    "stable",
    "oldstable",
];

/// The release of Debian that a suite belongs to by its name: `bookworm` for
/// `bookworm-backports`. None for moving names and for other repositories' own names.
pub(super) fn release_of(suite: &str) -> Option<&str> {
    let code_name = suite.split(['-', '/']).next()?;
    CODE_NAMES[..7].contains(&code_name).then_some(code_name)
}

/// `deb [signed-by=… arch=…] URL SUITE COMPONENT…`
fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default();
    let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Entry {
        urls: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// Stanzas of `Field: value` lines, parted by empty lines; comment lines may stand anywhere.
fn stanzas(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            entries.extend(stanza(&std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn stanza(fields: &[(String, String)]) -> Option<Entry> {
    let get = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let words = |name| get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let enabled = !matches!(get("enabled"), Some("no" | "false" | "0" | "off" | "without" | "disable"));
    let binary = get("types").is_some_and(|types| types.split_whitespace().any(|t| t == "deb"));
    (enabled && binary).then(|| Entry {
        urls: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: get("signed-by").filter(|v| !v.is_empty()).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Vec<Mirror> {
        mirrors_from_apt(&[(name.to_owned(), text.to_owned())])
    }

    /// The file that Debian's own container image carries, with another host in it.
    const DEB822: &str = "Types: deb
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# http://snapshot.example/archive/debian-security/20250520T000000Z
URIs: http://deb.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn deb822() {
        let mirrors = read("debian.sources", DEB822);
        assert_eq!(mirrors.len(), 2);
        assert_eq!(mirrors[0].urls, ["http://deb.example.org/debian"]);
        assert_eq!(mirrors[0].suites, ["{suite}", "{suite}-updates"]);
        assert_eq!(mirrors[0].components, ["main"]);
        assert_eq!(mirrors[1].suites, ["{suite}-security"]);
        assert_eq!(mirrors[1].keyring, KEYRING);
    }

    #[test]
    fn one_line_form() {
        let mirrors = read(
            "sources.list",
            "# deb http://off.example/debian bookworm main\n\
             deb http://deb.example.org/debian/ bookworm main contrib # note\n\
             deb-src http://deb.example.org/debian bookworm main\n\
             deb http://deb.example.org/debian bookworm-updates main contrib\n\
             deb [arch=amd64 signed-by=/etc/apt/keys/x.gpg] https://sec.example/debian-security bookworm-security main\n\
             deb cdrom:[Debian]/ bookworm main\n",
        );
        assert_eq!(mirrors.len(), 2);
        assert_eq!(mirrors[0].suites, ["{suite}", "{suite}-updates"]);
        assert_eq!(mirrors[0].components, ["main", "contrib"]);
        assert_eq!(mirrors[0].keyring, KEYRING);
        assert_eq!(mirrors[1].keyring, "/etc/apt/keys/x.gpg");
    }

    #[test]
    fn what_is_not_debian_is_left_out() {
        for text in [
            "deb https://deb.example.com/node_22.x nodistro main",
            "deb https://packages.example.com/apt cloud-sdk main",
            "deb http://deb.example.org/debian bookworm-backports main",
            "deb http://u:p@deb.example.org/debian bookworm main",
            "deb http://deb.example.org/flat ./",
            "deb [signed-by=ABCDEF0123456789] http://deb.example.org/debian bookworm main",
            "deb",
            "deb [x",
            "",
        ] {
            assert!(read("x.list", text).is_empty(), "{text}");
        }
        assert!(read("x.sources", &DEB822.replace("Types: deb", "Enabled: no\nTypes: deb")).is_empty());
        assert!(read("x.sources", &DEB822.replace("Types: deb", "Types: deb-src")).is_empty());
        assert!(read("x.sources.disabled", DEB822).is_empty());
        let embedded = DEB822.replace("/usr/share/keyrings/debian-archive-keyring.gpg", "\n -----BEGIN\n .");
        assert!(read("x.sources", &embedded).is_empty());
    }

    #[test]
    fn several_files_and_mirrors() {
        let two = DEB822.replace(
            "URIs: http://deb.example.org/debian\n",
            "URIs: http://a.example/debian\n http://b.example/debian\n",
        );
        let mirrors = mirrors_from_apt(&[
            ("a.sources".to_owned(), two.clone()),
            ("b.sources".to_owned(), two),
            (
                "c.list".to_owned(),
                "deb http://deb.example.org/debian-security trixie-security main".to_owned(),
            ),
        ]);
        assert_eq!(mirrors.len(), 2);
        assert_eq!(mirrors[0].urls, ["http://a.example/debian", "http://b.example/debian"]);
    }
}
