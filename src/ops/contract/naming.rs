//! How catalogs, images and releases are named at a terminal.

use crate::model::{ChannelName, ImageName, Version};
use std::path::PathBuf;
use std::str::FromStr;

/// Which catalog, at which commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRef {
    /// A folder, a bare repository or an address (`https`, `ssh`, `file`).
    pub location: String,
    /// Branch, tag or commit. Without it: the working tree where there is one, else the
    /// default branch.
    pub rev: Option<String>,
}

/// Which images: by name, or by a label of their spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// This image.
    Image(ImageName),
    /// All images whose `metadata.labels` has this pair.
    Label {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
}

impl FromStr for Selector {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("", _)) => Err(format!("{text:?} has no label before the =")),
            Some((key, value)) => Ok(Self::Label { key: key.to_owned(), value: value.to_owned() }),
            None => text.parse().map(Self::Image).map_err(|e: crate::model::name::BadName| e.to_string()),
        }
    }
}

/// One release, as a user names it: `IMAGE`, `IMAGE@CHANNEL` or `IMAGE/VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRef {
    /// The image.
    pub image: ImageName,
    /// Which of its releases.
    pub which: ReleaseWhich,
}

/// Which release of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseWhich {
    /// The newest.
    Newest,
    /// What a channel points to.
    Channel(ChannelName),
    /// This one.
    Version(Version),
}

impl FromStr for ReleaseRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            |e: crate::model::name::BadName| format!("{e} (write IMAGE, IMAGE@CHANNEL or IMAGE/VERSION)");
        let (image, which) = if let Some((image, channel)) = text.split_once('@') {
            (image, ReleaseWhich::Channel(channel.parse().map_err(refuse)?))
        } else if let Some((image, version)) = text.split_once('/') {
            (image, ReleaseWhich::Version(version.parse().map_err(refuse)?))
        } else {
            (text, ReleaseWhich::Newest)
        };
        Ok(Self { image: image.parse().map_err(refuse)?, which })
    }
}

impl std::fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.which {
            ReleaseWhich::Newest => write!(f, "{}", self.image),
            ReleaseWhich::Channel(channel) => write!(f, "{}@{channel}", self.image),
            ReleaseWhich::Version(version) => write!(f, "{}/{version}", self.image),
        }
    }
}

/// What to start. What reads as a release is one; a file of that name is `./NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootTarget {
    /// A release's ISO, or its disk if it has none.
    Release(ReleaseRef),
    /// An image file.
    File(PathBuf),
}

impl std::fmt::Display for BootTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Release(release) => write!(f, "{release}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for BootTarget {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::Release))
    }
}

/// What to check. What reads as a release is one; a folder of that name is `./NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyTarget {
    /// A release of the store.
    Release(ReleaseRef),
    /// A folder with a release's files.
    Folder(PathBuf),
    /// An image in a registry, by tag or digest: `registry.example/team/gw@sha256:…`.
    Registry(String),
}

impl FromStr for VerifyTarget {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(image) = text.strip_prefix("oci://") {
            return Ok(Self::Registry(image.to_owned()));
        }
        Ok(text.parse().map_or_else(|_| Self::Folder(text.into()), Self::Release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_named_in_three_ways() {
        for text in ["gw", "gw@stable", "gw/20240101-0123abcd"] {
            assert_eq!(text.parse::<ReleaseRef>().unwrap().to_string(), text);
        }
        for bad in ["", "gw@", "gw/", "gw/latest", "GW", "gw@a/b", "../gw", "gw/20240101-0123abcd/x"] {
            assert!(bad.parse::<ReleaseRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_does_not_read_as_a_release_is_a_path() {
        for path in ["./gw", "gw.iso", "/tmp/gw.iso", "out/gw.iso", "../gw"] {
            assert_eq!(path.parse(), Ok(BootTarget::File(path.into())), "{path}");
            assert_eq!(path.parse(), Ok(VerifyTarget::Folder(path.into())), "{path}");
        }
        assert!(matches!("gw".parse(), Ok(BootTarget::Release(_))));
    }

    #[test]
    fn selectors() {
        assert_eq!("gw".parse(), Ok(Selector::Image("gw".parse().unwrap())));
        assert_eq!("site=lab".parse(), Ok(Selector::Label { key: "site".into(), value: "lab".into() }));
        assert!("=lab".parse::<Selector>().is_err());
        assert!("Gw".parse::<Selector>().is_err());
    }
}
