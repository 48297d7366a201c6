//! The paths of the static documents, below `/json/v1/`.

use super::overview::release;
use crate::model::device::BuilderProfile;
use crate::model::openwrt::{BuilderId, Release};

/// A static document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// `overview.json`: all that there is.
    Overview,
    /// `branches.json`: the branches alone.
    Branches,
    /// `latest.json`: what is recommended.
    Latest,
    /// `RELEASE/targets/T/S/PROFILE.json`: one device.
    Profile(BuilderId, BuilderProfile),
    /// `RELEASE/targets/T/S/index.json`: packages of a target.
    Target(BuilderId),
    /// `RELEASE/packages/ARCHITECTURE-index.json`: packages of an architecture.
    Architecture(Release, String),
}

impl Document {
    /// What a path names; nothing if there is no such document.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "overview.json" => return Some(Self::Overview),
            "branches.json" => return Some(Self::Branches),
            "latest.json" => return Some(Self::Latest),
            _ => {}
        }
        let (release, rest) = match path.strip_prefix("snapshots/") {
            Some(rest) => (Release::Snapshot, rest),
            None => {
                let (version, rest) = path.strip_prefix("releases/")?.split_once('/')?;
                (release(version).filter(|release| *release != Release::Snapshot)?, rest)
            }
        };
        if let Some(name) = rest.strip_prefix("packages/") {
            let architecture = name.strip_suffix("-index.json")?;
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_+-".contains(&b);
            return (!architecture.is_empty() && architecture.bytes().all(fits))
                .then(|| Self::Architecture(release, architecture.to_owned()));
        }
        let (platform, name) = rest.strip_prefix("targets/")?.rsplit_once('/')?;
        let id = BuilderId::new(release, platform.parse().ok()?).ok()?;
        match name.strip_suffix(".json")? {
            "index" => Some(Self::Target(id)),
            profile => Some(Self::Profile(id, profile.parse().ok()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_documents() {
        let id = |release: &str| BuilderId::new(release.parse().unwrap(), "x86/64".parse().unwrap()).unwrap();
        for (path, document) in [
            ("overview.json", Document::Overview),
            ("branches.json", Document::Branches),
            ("latest.json", Document::Latest),
            ("releases/24.10.5/targets/x86/64/index.json", Document::Target(id("24.10.5"))),
            ("releases/24.10-SNAPSHOT/targets/x86/64/index.json", Document::Target(id("24.10-SNAPSHOT"))),
            (
                "snapshots/targets/x86/64/generic.json",
                Document::Profile(id("snapshot"), "generic".parse().unwrap()),
            ),
            (
                "releases/24.10.5/packages/mipsel_24kc-index.json",
                Document::Architecture("24.10.5".parse().unwrap(), "mipsel_24kc".to_owned()),
            ),
        ] {
            assert_eq!(Document::parse(path), Some(document), "{path}");
        }
    }

    #[test]
    fn what_climbs_or_is_no_document_is_nothing() {
        for bad in [
            "",
            "x.json",
            "../overview.json",
            "releases/24.10/targets/x86/64/index.json",
            "releases/SNAPSHOT/targets/x86/64/index.json",
            "releases/../targets/x86/64/index.json",
            "releases/24.10.5/targets/x86/../index.json",
            "releases/24.10.5/targets/x86/64/../index.json",
            "releases/24.10.5/targets/x86/64/$(id).json",
            "releases/24.10.5/targets/x86/64/generic",
            "releases/24.10.5/packages/../x-index.json",
            "releases/24.10.5/packages/-index.json",
            "releases/24.10.5/packages/x86_64.json",
            "snapshots/targets/x86/index.json",
            "snapshots/",
        ] {
            assert_eq!(Document::parse(bad), None, "{bad}");
        }
    }
}
