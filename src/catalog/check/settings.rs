//! `bootwright.yaml`.

use super::super::location::Location;
use super::{Report, doubled, signing};
use crate::model::asu::SysupgradeSettings;
use crate::model::bucket::{Access, is_bucket, is_plain_http};
use crate::model::name_changes::is_branch;
use crate::model::settings::{Mirror, OpenwrtSettings, Settings, StoreSettings};
use crate::model::spec::{Architecture, Family};
use crate::model::{ImageName, Version};

pub fn check(report: &mut Report<'_>, settings: &Settings) {
    for (field, path) in [("store.path", &settings.store.path), ("cache.path", &settings.cache.path)] {
        path_is_sane(report, field, path);
    }
    bucket(report, &settings.store);
    if let Some(url) = &settings.store.url {
        web_address(report, "store.url", url);
    }
    if let Some(registry) = &settings.store.registry
        && !is_registry(registry)
    {
        report.error(
            "store.registry",
            format!("{registry:?} is not an OCI repository prefix"),
            "Write it as registry.example/team, without https:// and without a tag.",
        );
    }
    deep_check(report, &settings.store);
    held(report, &settings.store.retention.hold);
    git_mirrors(report, settings);
    for (index, mirror) in settings.mirrors.iter().enumerate() {
        check_mirror(report, &format!("mirrors[{index}]"), mirror);
    }
    openwrt(report, &settings.openwrt);
    doubled(report, "packages.repositories", &settings.packages.repositories);
    signing::check(report, &settings.signing);
    if !is_uri(&settings.build.builder_id) {
        report.error(
            "build.builderId",
            format!("{:?} is not a URI", settings.build.builder_id),
            "Write it as https://example.org/builders/one or urn:example:builder.",
        );
    }
    doubled(report, "channels", &settings.channels);
}

/// A store in a bucket, and where its service is.
fn bucket(report: &mut Report<'_>, store: &StoreSettings) {
    let in_bucket = is_bucket(&store.path);
    if in_bucket && let Err(failure) = Access::parse(&store.path) {
        report.error("store.path", failure.message, "Write it as s3://BUCKET or s3://BUCKET/PREFIX.");
    }
    let Some(s3) = &store.s3 else { return };
    if !in_bucket {
        report.error(
            "store.s3",
            "nothing reads this: the store is a folder",
            "Write `path: s3://BUCKET/PREFIX`, or take this away.",
        );
    }
    if let Some(Err(failure)) = s3.endpoint.as_deref().map(is_plain_http) {
        report.error(
            "store.s3.endpoint",
            failure.message,
            "Write it as https://host, without user name and password; http goes to this host only.",
        );
    }
    if let Some(region) = &s3.region
        && !(is_path_word(region) && region.len() <= 64)
    {
        report.error(
            "store.s3.region",
            format!("{region:?} is not a region"),
            "Write it as eu-central-1, or as the service calls it.",
        );
    }
}

fn deep_check(report: &mut Report<'_>, store: &StoreSettings) {
    if let Some(text) = &store.deep_check
        && let Err(why) = super::schedule::check_schedule(text)
    {
        report.error(
            "store.deepCheck",
            format!("{text:?} is not a schedule: {why}"),
            "Write minute, hour, day of month, month and day of week: \"0 4 * * 0\" is Sundays at 4:00.",
        );
    }
    if let Some(zone) = &store.deep_check_time_zone {
        super::accounts::time_zone(report, "store.deepCheckTimeZone", zone);
        if store.deep_check.is_none() {
            report.error(
                "store.deepCheckTimeZone",
                "nothing reads this: there is no schedule",
                "Add `deepCheck`, or take this away.",
            );
        }
    }
}

fn held(report: &mut Report<'_>, hold: &[String]) {
    for (index, text) in hold.iter().enumerate() {
        let parts = text.split_once('/');
        let good = |(image, version): (&str, &str)| {
            image.parse::<ImageName>().is_ok() && version.parse::<Version>().is_ok()
        };
        if !parts.is_some_and(good) {
            report.error(
                &format!("store.retention.hold[{index}]"),
                format!("{text:?} is not a release"),
                "Write IMAGE/VERSION, as `bootwright release list` shows them.",
            );
        }
    }
    doubled(report, "store.retention.hold", hold);
}

pub(super) fn path_is_sane(report: &mut Report<'_>, field: &str, path: &str) {
    if !super::text::is_one_line(path, 4096) {
        report.error(field, format!("`{field}` is not a path"), "Write a path on this host.");
    }
}

pub(super) fn web_address(report: &mut Report<'_>, field: &str, url: &str) {
    if !is_address(url, &["https", "http"]) {
        report.error(
            field,
            format!("`{field}` is not a web address"),
            "Write it as https://host/path, without user name and password.",
        );
    }
}

fn check_mirror(report: &mut Report<'_>, field: &str, mirror: &Mirror) {
    for (name, items) in
        [("urls", &mirror.urls), ("suites", &mirror.suites), ("components", &mirror.components)]
    {
        let list = format!("{field}.{name}");
        if items.is_empty() {
            report.error(&list, format!("`{list}` is empty"), "Name at least one.");
        }
        doubled(report, &list, items);
    }
    for (index, url) in mirror.urls.iter().enumerate() {
        if !is_address(url, &["https", "http", "file"]) {
            report.error(
                &format!("{field}.urls[{index}]"),
                "this is not the address of a repository",
                "Use http, https or file, without user name and password.",
            );
        }
    }
    for (index, suite) in mirror.suites.iter().enumerate() {
        if !is_path_word(&suite.replace("{suite}", "x")) {
            report.error(
                &format!("{field}.suites[{index}]"),
                format!("{suite:?} is not a suite"),
                "Write it as {suite}, {suite}-updates or bookworm.",
            );
        }
    }
    for (index, component) in mirror.components.iter().enumerate() {
        let (filled, example) = match mirror.base.family() {
            Family::Fedora | Family::Opensuse | Family::Gentoo => (
                crate::model::settings::fill_in(component, "x", Architecture::X86_64),
                "Write the repository's path: updates/{suite}/Everything/{arch}, update/leap/{version}/oss.",
            ),
            _ => (component.clone(), "Write it as main or non-free-firmware."),
        };
        if !is_path_word(&filled) {
            let message = format!("{component:?} is not a component");
            report.error(&format!("{field}.components[{index}]"), message, example);
        }
    }
    path_is_sane(report, &format!("{field}.keyring"), &mirror.keyring);
    if mirror.unsigned_indexes
        && !matches!(mirror.base.family(), Family::Arch | Family::Fedora | Family::Gentoo | Family::Void)
    {
        report.conflict(
            &format!("{field}.unsignedIndexes"),
            format!("the indexes of {} are always signed", mirror.base.as_str()),
            "Take this away: it is for public mirrors of Arch, Fedora, Gentoo and Void, which sign packages only.",
        );
    }
}

/// Where OpenWrt's Image Builders come from, and whom they are trusted by.
fn openwrt(report: &mut Report<'_>, openwrt: &OpenwrtSettings) {
    for (index, url) in openwrt.urls.iter().enumerate() {
        if !is_address(url, &["https", "http", "file"]) || url.contains(['?', '#']) {
            report.error(
                &format!("openwrt.urls[{index}]"),
                "this is not the address of an OpenWrt server",
                "Write what `releases/` is below, with http, https or file, without user name and password.",
            );
        }
    }
    for (index, key) in openwrt.keys.iter().enumerate() {
        path_is_sane(report, &format!("openwrt.keys[{index}]"), key);
    }
    for branch in openwrt.package_changes.keys().filter(|branch| !is_branch(branch)) {
        report.error(
            "openwrt.packageChanges",
            format!("{branch:?} is no branch of OpenWrt"),
            "Write branches as \"24.10\", and the main one as SNAPSHOT.",
        );
    }
    sysupgrade(report, &openwrt.sysupgrade);
    doubled(report, "openwrt.urls", &openwrt.urls);
    doubled(report, "openwrt.keys", &openwrt.keys);
    if openwrt.urls.is_empty() {
        if openwrt.unsigned || !openwrt.keys.is_empty() {
            report.error(
                "openwrt.urls",
                "nothing reads this: there is no server",
                "Name one in `openwrt.urls`, or take `openwrt` away.",
            );
        }
    } else if openwrt.keys.is_empty() && !openwrt.unsigned {
        report.error(
            "openwrt.keys",
            "`openwrt.keys` is empty",
            "Name the public keys of who signs `sha256sums`; `unsigned: true` takes what nobody signed.",
        );
    } else if openwrt.unsigned && !openwrt.keys.is_empty() {
        report.conflict(
            "openwrt.unsigned",
            "what nobody signed is taken, and there are keys",
            "Keep the keys, or `unsigned: true`.",
        );
    }
}

/// What routers may ask for.
fn sysupgrade(report: &mut Report<'_>, settings: &SysupgradeSettings) {
    for (index, branch) in settings.branches.iter().enumerate().filter(|(_, branch)| !is_branch(branch)) {
        report.error(
            &format!("openwrt.sysupgrade.branches[{index}]"),
            format!("{branch:?} is no branch of OpenWrt"),
            "Write branches as \"24.10\", and the main one as SNAPSHOT.",
        );
    }
    doubled(report, "openwrt.sysupgrade.branches", &settings.branches);
    let repositories = settings.repositories.iter().enumerate();
    let repositories =
        repositories.map(|(index, url)| (format!("openwrt.sysupgrade.repositories[{index}]"), url));
    let upstream = settings.upstream_url.iter().map(|url| ("openwrt.sysupgrade.upstreamUrl".to_owned(), url));
    for (field, url) in repositories.chain(upstream) {
        if !is_address(url, &["https", "http"]) || url.contains(['?', '#']) {
            report.error(
                &field,
                format!("{url:?} is not an address that routers can ask"),
                "Write it as https://host/path, without user name and password.",
            );
        }
    }
    let at = |what: &str| format!("openwrt.sysupgrade.{what}");
    for (field, number, limits) in [
        ("maxDefaultsLength", settings.max_defaults_length, 1..=100_000),
        ("maxRootfsSizeMb", settings.max_rootfs_size_mb, 1..=65_536),
        ("workers", settings.workers, 1..=64),
        ("timeoutMinutes", settings.timeout_minutes, 1..=240),
        ("queue", settings.queue, 0..=10_000),
        ("requestsPerMinute", settings.requests_per_minute, 1..=100_000),
    ] {
        if !limits.contains(&number) {
            let message = format!("{number} is not between {} and {}", limits.start(), limits.end());
            report.error(&at(field), message, "Write a number between these two.");
        }
    }
}

fn is_path_word(text: &str) -> bool {
    !text.is_empty()
        && text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))
        })
}

pub(super) fn is_address(url: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = url.len() <= 2048 && !url.chars().any(|c| c.is_control() || c.is_whitespace());
    let host_fits = if scheme == "file" { host.is_empty() && !path.is_empty() } else { !host.is_empty() };
    plain && schemes.contains(&scheme) && host_fits && !host.contains('@')
}

/// A scheme and something behind it (RFC 3986, section 3), in printable ASCII.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_fits = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_fits && !rest.is_empty() && text.len() <= 2048 && rest.bytes().all(|b| b.is_ascii_graphic())
}

/// `host[:port]/path` in lower case (OCI distribution specification, "Pulling manifests").
fn is_registry(text: &str) -> bool {
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host_fits =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b));
    let part_fits = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
    };
    text.len() <= 255 && host_fits && (path.is_empty() || path.split('/').all(part_fits))
}

/// Where git repositories are fetched from instead.
fn git_mirrors(report: &mut Report<'_>, settings: &Settings) {
    for (index, mirror) in settings.git_mirrors.iter().enumerate() {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"'\"\\@".contains(&b));
        let folder = |text: &str| text.ends_with('/') && plain(text) && !text.contains("/../");
        if !(mirror.of.starts_with("https://") && folder(&mirror.of)) {
            report.error(
                &format!("gitMirrors[{index}].of"),
                "this is not how the address of a repository begins",
                "Write https://, a host and maybe folders, with a slash at the end.",
            );
        }
        let known = ["https://", "http://", "file:///"].iter().any(|scheme| mirror.url.starts_with(scheme));
        let field = format!("gitMirrors[{index}].url");
        match Location::parse(&mirror.url, None) {
            Ok(_) if known && folder(&mirror.url) => {}
            Ok(_) => report.error(
                &field,
                "repositories cannot be fetched from here",
                "Write an address with https:// or file:///, with a slash at the end and no password.",
            ),
            Err(failure) => report.error(&field, failure.message, failure.hint.unwrap_or_default()),
        }
        if settings.git_mirrors[..index].iter().any(|other| other.of == mirror.of) {
            report.error(
                &format!("gitMirrors[{index}].of"),
                "these repositories have a copy already",
                "Keep one of the two.",
            );
        }
    }
}
