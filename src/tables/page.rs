//! `docs/packages.md`, made from the tables.

use super::{CATEGORIES, Entry, Row, all_packages, of, repositories, rows};
use crate::model::name::PackageName;
use crate::model::spec::Base;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const ABOUT: &str = "<!-- Made from the tables by `UPDATE=1 cargo test --lib tables::page`; do not edit. -->
# Packages of all distributions

A spec names packages by one name for all distributions; `bootwright packages NAME` shows
what each calls it. A name that is in no row is taken as the distribution's own, and
`packages.extra` is never looked up.

What happens to a name, in this order:

1. It is in a row, and the distribution has it: its own name is installed. A suite may
   differ from the others; an architecture may have none.
2. It is in a row, and the distribution does not have it: `PKG_UNAVAILABLE`, with the
   reason. An image with pinned packages is refused, so that nobody ships less than was
   asked for; with `packages: {missing: warning}` in `bootwright.yaml` it is built without
   the package, and that is said. Containerfiles always go on without it.
3. It is in another repository: it is used only if `packages: {repositories: [NAME]}` in
   `bootwright.yaml` allows that repository. For Debian the mirror must serve the component
   too (`mirrors[].components`).
4. It is in no row: it is taken as it stands. What looks like a slip of the pen is told.

A service that comes with a package is shown with it. It is switched on by
`services.enable`, or by the package itself (Debian, Ubuntu).

## A new distribution

One that has the files and habits of a distribution that is known (`family`) needs no code: a folder
in `src/tables/distributions` and its own names in the rows below. With `like: debian` rows that say
nothing about it are read as Debian's. `managers::ninth` does it with a made-up one, and builds it.
One with a package manager of its own also needs a driver in `src/build/managers`, one with files
in other places a `Family`: the compiler then names each place that has to know.

## The files

`src/tables/packages/CATEGORY.yaml` has one row for each name:

```yaml
tailscale:
  also: [other-name]                 # other names for the same thing
  all: tailscale                     # what it is called where nothing else is said
  debian: {packages: tailscale, from: tailscale}   # only in another repository
  fedora: {missing: \"why\"}           # not there, and why
  ubuntu: {packages: x, suites: {jammy: y}}        # one suite differs
  arch: {packages: x, architectures: [x86_64]}     # not for every architecture
  opensuse: {packages: x, group: true, note: \"worth knowing\"}
  service: {systemd: tailscaled, openrc: tailscale, debian: x}
  answers: /usr/bin/tailscale version  # asked in a booted system; the package's version is in it
```

`src/tables/distributions/BASE/` has one folder for each distribution: `about.yaml` says what it
is (family, init systems, whose package names it takes over), `system.yaml` what every system of it
needs, its suites and kernels, `seen.yaml` where each name was seen.
`src/tables/repositories.yaml` has the other repositories.
";

/// The text of `docs/packages.md`.
pub fn page() -> String {
    let mut text = String::from(ABOUT);
    checked(&mut text);
    kernels(&mut text);
    others(&mut text);
    for category in CATEGORIES {
        let rows: Vec<&Row> = rows().iter().filter(|r| r.category == category).collect();
        let _ = write!(text, "\n## `{category}`: {} names\n\n| name |", rows.len());
        for base in Base::all() {
            let _ = write!(text, " {} |", base.as_str());
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(Base::all().count()));
        for row in rows {
            let names = std::iter::once(&row.name).chain(&row.also);
            let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
            let _ = write!(text, "| {} |", names.join(", "));
            for base in Base::all() {
                let _ = write!(text, " {} |", row.on(base).map_or_else(String::new, |e| cell(base, e)));
            }
            text.push('\n');
        }
    }
    text
}

/// What one distribution says, in few words: `?` follows a name that nobody has seen.
fn cell(base: Base, entry: &Entry) -> String {
    let mut text = match entry {
        Entry::Missing(why) => format!("not there: {why}"),
        Entry::Offered(offer) => {
            let names: Vec<String> = offer.packages.iter().map(|p| name(base, p)).collect();
            let mut text = names.join(", ");
            if offer.group {
                text.push_str(" (group)");
            }
            if let Some(from) = &offer.from {
                let _ = write!(text, " from {from}");
            }
            if !offer.architectures.is_empty() {
                let only: Vec<&str> = offer.architectures.iter().map(|a| a.as_str()).collect();
                let _ = write!(text, " ({} only)", only.join(", "));
            }
            text
        }
    };
    for (suite, entry) in entry.suites() {
        let _ = write!(text, "; {suite}: {}", cell(base, entry));
    }
    text
}

fn name(base: Base, package: &PackageName) -> String {
    let unseen = if of(base).evidence(package).is_none() { " ?" } else { "" };
    format!("{package}{unseen}")
}

/// How many names of each distribution were seen, and where.
fn checked(text: &mut String) {
    text.push_str(
        "\n## What was checked\n\nDebian's column is held to the signed indexes of its suites by a test. The other \
         columns were compared with public packaging repositories, by hand and on one day; a recipe of a name is \
         no proof that every suite has its package. A name that was seen nowhere has a `?` below, and whoever asks \
         for it is told.\n\n| distribution | suites | names | seen | where |\n|---|---|---|---|---|\n",
    );
    for base in Base::all() {
        let distribution = of(base);
        let own = distribution.own_packages().into_iter();
        let names: BTreeSet<&PackageName> = all_packages(base).into_iter().chain(own).collect();
        let seen = names.iter().filter(|n| distribution.evidence(n).is_some()).count();
        let places = distribution.all_evidence().iter();
        let places: Vec<String> = places
            .map(|e| format!("{} ({} names, looked at on {})", e.source, e.names.len(), e.looked))
            .collect();
        let suites: Vec<&str> = distribution.suites().collect();
        let (title, count) = (base.title(), names.len());
        let _ =
            writeln!(text, "| {title} | {} | {count} | {seen} | {} |", suites.join(", "), places.join("; "));
    }
}

fn kernels(text: &mut String) {
    use crate::model::spec::{Architecture, KernelVersion};
    let flavours = [
        ("linux-lts", KernelVersion::LinuxLts),
        ("linux-zen", KernelVersion::LinuxZen),
        ("linux-hardened", KernelVersion::LinuxHardened),
    ];
    text.push_str(
        "\n## Kernels\n\n| distribution | architecture | `linux-lts` | `linux-zen` | `linux-hardened` |\n",
    );
    text.push_str("|---|---|---|---|---|\n");
    for base in Base::all() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let _ = write!(text, "| {} | {} |", base.title(), architecture.as_str());
            for (_, flavour) in flavours {
                let entry = of(base).kernel(architecture, flavour);
                let _ = write!(text, " {} |", entry.map_or_else(String::new, |e| cell(base, e)));
            }
            text.push('\n');
        }
    }
}

fn others(text: &mut String) {
    text.push_str("\n## Other repositories\n\n| name | for | what it is | signed |\n|---|---|---|---|\n");
    for (name, repository) in repositories() {
        let bases: Vec<&str> = repository.bases.iter().map(|b| b.as_str()).collect();
        let (title, signed) = (&repository.title, repository.signed());
        let _ = writeln!(text, "| `{name}` | {} | {title} | {signed} |", bases.join(", "));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_is_current() {
        crate::catalog::assert_current("docs/packages.md", &super::page());
    }
}
