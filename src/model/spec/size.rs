//! Sizes with units.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A size in bytes, written with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SizeText", into = "String")]
#[schemars(with = "SizeText")]
pub struct Size(u64);

/// What a size may look like in a document.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum SizeText {
    /// Bytes.
    Bytes(u64),
    /// A number and a unit: B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024).
    Text(String),
}

impl Size {
    /// A size of so many bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Size {
    /// With the largest binary unit that keeps three digits: `1.95 GiB`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"];
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1024.0 && unit + 1 < units.len() {
            value /= 1024.0;
            unit += 1;
        }
        if unit == 0 {
            write!(f, "{} B", self.0)
        } else if value < 10.0 {
            write!(f, "{value:.2} {}", units[unit])
        } else if value < 100.0 {
            write!(f, "{value:.1} {}", units[unit])
        } else {
            write!(f, "{value:.0} {}", units[unit])
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if size.0 >= factor && size.0.is_multiple_of(factor) {
                return format!("{}{unit}", size.0 / factor);
            }
        }
        format!("{}B", size.0)
    }
}

impl std::str::FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is not a size: write a number and a unit, such as 700MiB or 2GiB");
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..split].parse().map_err(|_| refuse())?;
        let factor: u64 = match text[split..].trim() {
            "" | "B" => 1,
            "KB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "TB" => 1000 * 1000 * 1000 * 1000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(refuse()),
        };
        number.checked_mul(factor).map(Size).ok_or_else(refuse)
    }
}

impl TryFrom<SizeText> for Size {
    type Error = String;
    fn try_from(text: SizeText) -> Result<Self, String> {
        match text {
            SizeText::Bytes(bytes) => Ok(Size(bytes)),
            SizeText::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("2GiB".parse::<Size>().unwrap().bytes(), 2 << 30);
        assert_eq!("1500MB".parse::<Size>().unwrap().bytes(), 1_500_000_000);
        assert!("2 gigs".parse::<Size>().is_err());
        assert!("99999999999TiB".parse::<Size>().is_err());
        assert_eq!(Size(2 << 30).to_string(), "2.00 GiB");
        assert_eq!(String::from(Size(700 << 20)), "700MiB");
    }
}
