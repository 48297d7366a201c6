//! `openwrt.sysupgrade` of the settings: what a server of the Attended Sysupgrade API allows.

use core::net::IpAddr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a server of the Attended Sysupgrade API (`bootwright openwrt serve`) allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SysupgradeSettings {
    /// The branches that are built, as `24.10`, and `SNAPSHOT` for the main one; all that the OpenWrt
    /// server lists when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Whether a request may bring a script for the first start.
    #[serde(default)]
    pub allow_defaults: bool,
    /// How many characters such a script may have.
    #[serde(default = "max_defaults_length")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_defaults_length: u32,
    /// The largest root file system that may be asked for, in MiB.
    #[serde(default = "max_rootfs_size_mb")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max_rootfs_size_mb: u32,
    /// Package repositories that a request may name: these addresses and all below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// How many requests are built at once.
    #[serde(default = "workers")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: u32,
    /// After how many minutes a step of a build is given up.
    #[serde(default = "timeout_minutes")]
    #[schemars(range(min = 1, max = 240))]
    pub timeout_minutes: u32,
    /// How many requests may wait.
    #[serde(default = "queue")]
    #[schemars(range(max = 10_000))]
    pub queue: u32,
    /// How many requests one address may make in a minute.
    #[serde(default = "requests_per_minute")]
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_minute: u32,
    /// Addresses of proxies whose `X-Forwarded-For` says who asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpAddr>,
    /// The OpenWrt server that clients are sent to for what this one has not; the first of
    /// `openwrt.urls` that is no folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_url: Option<String>,
    /// Whom to write to about this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

fn max_defaults_length() -> u32 {
    20_480
}

fn max_rootfs_size_mb() -> u32 {
    1024
}

fn workers() -> u32 {
    2
}

fn timeout_minutes() -> u32 {
    30
}

fn queue() -> u32 {
    200
}

fn requests_per_minute() -> u32 {
    120
}

impl Default for SysupgradeSettings {
    fn default() -> Self {
        Self {
            branches: Vec::new(),
            allow_defaults: false,
            max_defaults_length: max_defaults_length(),
            max_rootfs_size_mb: max_rootfs_size_mb(),
            repositories: Vec::new(),
            workers: workers(),
            timeout_minutes: timeout_minutes(),
            queue: queue(),
            requests_per_minute: requests_per_minute(),
            trusted_proxies: Vec::new(),
            upstream_url: None,
            contact: None,
        }
    }
}

impl SysupgradeSettings {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a request may name a package repository. Parts of an address are compared, so that
    /// `https://good.example.org.evil/` is not below `https://good.example.org/`.
    pub fn allows(&self, url: &str) -> bool {
        let Some((origin, path)) = parts(url) else { return false };
        self.repositories.iter().filter_map(|allowed| parts(allowed)).any(|(allowed, below)| {
            let below = below.trim_end_matches('/');
            origin.eq_ignore_ascii_case(allowed)
                && path.strip_prefix(below).is_some_and(|rest| rest.starts_with('/'))
        })
    }
}

/// Scheme with host and port, and the path. What has more parts is not compared at all.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let scheme = url.len() - rest.len();
    let end = rest.find('/').unwrap_or(rest.len());
    let plain = !url.contains(['?', '#', '\\', '@', '%']) && !rest[end..].contains("/../") && end > 0;
    (plain && !rest.ends_with("/..")).then(|| (&url[..scheme + end], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_allowed_by_its_parts() {
        let repositories = vec!["https://good.example.org/feeds/".to_owned(), "http://h:8080".to_owned()];
        let settings = SysupgradeSettings { repositories, ..SysupgradeSettings::default() };
        for good in [
            "https://good.example.org/feeds/24.10/x86_64",
            "https://good.example.org/feeds/",
            "https://GOOD.example.org/feeds/a",
            "http://h:8080/a",
        ] {
            assert!(settings.allows(good), "{good}");
        }
        for bad in [
            "https://good.example.org.evil/feeds/a",
            "https://good.example.org@evil/feeds/a",
            "https://evil/feeds/",
            "http://good.example.org/feeds/a",
            "https://good.example.org/feedsy/a",
            "https://good.example.org/",
            "https://good.example.org/feeds/../../etc",
            "https://good.example.org/feeds/%2e%2e/x",
            "https://good.example.org/feeds/..",
            "https://good.example.org/feeds/a?b",
            "http://h:80801/a",
            "http:///feeds/",
            "ftp://h:8080/a",
            "",
        ] {
            assert!(!settings.allows(bad), "{bad}");
        }
        assert!(!SysupgradeSettings::default().allows("https://good.example.org/feeds/a"));
    }
}
