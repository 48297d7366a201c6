//! What an Image Builder says of itself: `make info`.
//!
//! Lines `Current Revision: "…"` and `Default Packages: …`, and for each device `ID:` and below it,
//! indented, its title and `Packages: …`.

use super::device::BuilderProfile;
use std::collections::BTreeMap;

/// What an Image Builder says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuilderInfo {
    /// The revision: `r28739-d9340319c6`.
    pub revision: String,
    /// Packages of every device of the target.
    pub default_packages: Vec<String>,
    /// Packages that devices have beside those; `-NAME` takes one out.
    pub profiles: BTreeMap<BuilderProfile, Vec<String>>,
}

impl BuilderInfo {
    /// Reads what `make info` prints; nothing if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut info = Self::default();
        let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect();
        let mut device: Option<BuilderProfile> = None;
        for line in text.lines() {
            if let Some(revision) = line.strip_prefix("Current Revision: ") {
                info.revision = revision.trim().trim_matches('"').to_owned();
            } else if let Some(packages) = line.strip_prefix("Default Packages:") {
                info.default_packages = words(packages);
            } else if !line.starts_with(char::is_whitespace) {
                device = line.trim_end().strip_suffix(':').and_then(|id| id.parse().ok());
                info.profiles.extend(device.clone().map(|device| (device, Vec::new())));
            } else if let Some((device, packages)) =
                device.as_ref().zip(line.trim_start().strip_prefix("Packages:"))
            {
                info.profiles.insert(device.clone(), words(packages));
            }
        }
        (!info.revision.is_empty() && !info.profiles.is_empty()).then_some(info)
    }

    /// The packages that a device has if nobody says otherwise.
    pub fn packages_of<'i>(&'i self, profile: &BuilderProfile) -> impl Iterator<Item = &'i str> {
        let own = self.profiles.get(profile).map_or(&[][..], Vec::as_slice);
        self.default_packages.iter().chain(own).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "Current Target: \"ath79/generic\"\nCurrent Architecture: \"mips_24kc\"\n\
        Current Revision: \"r28739-d9340319c6\"\nDefault Packages: base-files ca-bundle dropbear\n\
        Available Profiles:\n\n8dev_carambola2:\n    8devices Carambola2\n    Packages: kmod-usb2 -ppp\n    \
        hasImageMetadata: 1\n    SupportedDevices: 8dev,carambola2 carambola2\n\nbare:\n    Bare\n    Packages:\n";

    #[test]
    fn revision_and_packages_are_read() {
        let info = BuilderInfo::parse(INFO).unwrap();
        assert_eq!(info.revision, "r28739-d9340319c6");
        let packages = |id: &str| info.packages_of(&id.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(packages("8dev_carambola2"), ["base-files", "ca-bundle", "dropbear", "kmod-usb2", "-ppp"]);
        assert_eq!(packages("bare"), ["base-files", "ca-bundle", "dropbear"]);
        assert_eq!(packages("unknown"), ["base-files", "ca-bundle", "dropbear"]);
        assert_eq!(info.profiles.len(), 2);
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for bad in ["", "make: *** No rule\n", "Current Revision: \"r1\"\n", "Current Revision: \"\"\na:\n"] {
            assert_eq!(BuilderInfo::parse(bad), None, "{bad:?}");
        }
    }
}
