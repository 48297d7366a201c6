//! Host name, language, time zone, and the identity that each machine gives itself.

use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Init, OsSpec};
use crate::tables;

/// The locale that every C library has without further files.
pub(super) const PLAIN_LOCALE: &str = "C.UTF-8";

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let defaults = &spec.defaults;
    let locale = defaults.locale.as_deref().unwrap_or(PLAIN_LOCALE);
    // Where the C library brings them all, there is nothing to install.
    let offered =
        tables::row("locales").and_then(|row| row.on(spec.base)).is_some_and(|e| e.offer().is_some());
    if locale != PLAIN_LOCALE && offered {
        needs.package("spec.defaults.locale", "base", "locales");
    }
    if defaults.timezone.as_deref().is_some_and(|zone| !is_utc(zone)) {
        needs.package("spec.defaults.timezone", "base", "tzdata");
    }
}

/// Whether a zone needs no time zone files.
fn is_utc(zone: &str) -> bool {
    matches!(
        zone,
        "UTC" | "Etc/UTC" | "Etc/UCT" | "UCT" | "Zulu" | "Etc/Zulu" | "Universal" | "Etc/Universal"
    )
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let configuration = system.configuration;
    let host = &configuration.hostname;
    plan.file("etc/hostname", 0o644, format!("{host}\n"));
    plan.file(
        "etc/hosts",
        0o644,
        format!("127.0.0.1\tlocalhost\n127.0.1.1\t{host}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    );
    plan.check(
        "spec.defaults.hostname",
        Expect::Sysctl { key: "kernel.hostname".to_owned(), value: host.to_string() },
    );
    let locale = &configuration.locale;
    if system.is_debian() {
        plan.file("etc/default/locale", 0o644, format!("LANG={locale}\n"));
        plan.file("etc/locale.gen", 0o644, locale_gen(locale));
    } else {
        plan.file("etc/locale.conf", 0o644, format!("LANG={locale}\n"));
    }
    if system.has("locales") {
        plan.run(Program::new("making the locale", "/usr/sbin/locale-gen", &["--keep-existing"]));
    }
    let zone = format!("/usr/share/zoneinfo/{}", configuration.timezone);
    if system.is_debian() {
        plan.file("etc/timezone", 0o644, format!("{}\n", configuration.timezone));
    }
    plan.link("etc/localtime", &zone);
    plan.check("spec.defaults.timezone", Expect::Link { path: "/etc/localtime".to_owned(), target: zone });
    if configuration.init == Init::Systemd {
        plan.file("etc/machine-id", 0o444, "");
    }
}

/// `locale.gen` (man locale-gen): the locale and its character set.
fn locale_gen(locale: &str) -> String {
    if matches!(locale, PLAIN_LOCALE | "C" | "POSIX") {
        return "# The built-in locale needs no files.\n".to_owned();
    }
    let charset = locale.split_once('.').map_or("ISO-8859-1", |(_, c)| c.split('@').next().unwrap_or(c));
    format!("{locale} {charset}\n")
}
