//! The documents `CardWriter` and `FlashOrder`: hosts with card readers, and what shall be on the
//! cards in them.

use super::device::BoardName;
use super::name::{BadName, ChannelName, ImageName, Version, checked_name};
use super::spec::{ApiVersion, Architecture, Size};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

checked_name! {
    /// A card writer: a host with card readers.
    WriterName, "name of a card writer",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    is_label
}

checked_name! {
    /// A card reader of a card writer: `a`, `top-left`.
    SlotName, "name of a slot",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    is_label
}

checked_name! {
    /// A flash order.
    OrderName, "name of a flash order",
    "use 1 to 63 lower-case letters, digits and inner hyphens",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    is_label
}

checked_name! {
    /// Where a card reader is plugged in. Names such as `/dev/sdb` go to whatever is found first.
    PortPath, "path of a port",
    "write a path that stays with the port: below /dev/disk/by-path, or the reader's folder in /sys",
    "^/([A-Za-z0-9_.:+@-]+/)+[A-Za-z0-9_.:+@-]+$",
    is_port
}

checked_name! {
    /// A card writer's public key (Ed25519, RFC 8032), as `bootwright writer enroll` prints it.
    WriterKey, "key of a card writer",
    "write ed25519: and 44 characters of base64, as `bootwright writer enroll` prints it",
    "^ed25519:[A-Za-z0-9+/]{43}=$",
    |t| verifying_key(t).is_some()
}

fn is_label(text: &str) -> bool {
    text.parse::<ImageName>().is_ok()
}

fn is_port(text: &str) -> bool {
    let step = |step: &str| {
        !matches!(step, "" | "." | "..")
            && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:+@-".contains(&b))
    };
    let Some(rest) = text.strip_prefix('/') else { return false };
    // What is directly in /dev is named in the order in which it was found.
    text.len() <= 512
        && rest.contains('/')
        && rest.split('/').all(step)
        && !text.starts_with("/dev/sd")
        && !(text.starts_with("/dev/") && rest.matches('/').count() == 1)
}

fn verifying_key(text: &str) -> Option<VerifyingKey> {
    let bytes = BASE64.decode(text.strip_prefix("ed25519:")?).ok()?;
    VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()
}

impl WriterKey {
    /// The text of a public key.
    pub fn of(key: &VerifyingKey) -> Option<Self> {
        format!("ed25519:{}", BASE64.encode(key.as_bytes())).parse().ok()
    }

    /// Whether this key made a signature (base64) of `bytes`.
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let signature = BASE64.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        // Strict: keys and signatures of small order are refused.
        verifying_key(self.as_str())
            .zip(signature)
            .is_some_and(|(key, signature)| key.verify_strict(bytes, &signature).is_ok())
    }
}

/// The kind of document this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CardWriterKind {
    /// A host with card readers.
    CardWriter,
}

/// One document of kind `CardWriter`: a host with card readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CardWriter {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `CardWriter`.
    pub kind: CardWriterKind,
    /// Who this document is.
    pub metadata: CardWriterMetadata,
    /// What the host has.
    pub spec: CardWriterSpec,
}

/// Who a card writer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CardWriterMetadata {
    /// Its name.
    pub name: WriterName,
    /// Where it stands, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a card writer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CardWriterSpec {
    /// The key that its requests and receipts are signed with. Without it, the key that enrolled
    /// with a token counts, for as long as the state database is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<WriterKey>,
    /// Its card readers.
    pub slots: Vec<Slot>,
}

/// One card reader, and what may be put on the cards in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slot {
    /// Its name.
    pub name: SlotName,
    /// The port that it is plugged into: below `/dev/disk/by-path`, or its folder in `/sys`.
    pub path: PortPath,
    /// The images that it may carry; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageName>,
    /// The architectures that it may carry; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<Architecture>,
    /// The boards that it may carry, or again architectures; all when empty. OS images are for
    /// `generic-x86_64` or `generic-aarch64`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boards: Vec<BoardName>,
    /// The largest image that it may carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
}

/// The kind of document this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FlashOrderKind {
    /// What shall be on cards.
    FlashOrder,
}

/// One document of kind `FlashOrder`: what shall be on the cards in which readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlashOrder {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `FlashOrder`.
    pub kind: FlashOrderKind,
    /// Who this document is.
    pub metadata: FlashOrderMetadata,
    /// What is ordered.
    pub spec: FlashOrderSpec,
}

/// Who a flash order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlashOrderMetadata {
    /// Its name.
    pub name: OrderName,
    /// What it is for, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlashOrderSpec {
    /// How often.
    #[serde(default)]
    pub repeat: Repeat,
    /// Whether nothing is written for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// What shall be in which slot; each slot may carry another image.
    pub cards: Vec<OrderedCard>,
}

/// How often a card is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// One card for each release: when the channel moves on, the card is written again.
    #[default]
    Once,
    /// Every card that is put into the slot, until the order is taken away.
    EveryCard,
}

/// What shall be on the card in one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderedCard {
    /// The image, or the device whose firmware it is.
    pub image: ImageName,
    /// The channel whose release is written, and whose later ones are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// The release that is written, if it is always the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The card writer.
    pub writer: WriterName,
    /// Its slot.
    pub slot: SlotName,
    /// The architecture that the release must be for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// The board that the release must be for, or again the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<BoardName>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    #[test]
    fn ports_are_paths_that_stay() {
        for good in [
            "/dev/disk/by-path/pci-0000:00:14.0-usb-0:1.1:1.0-scsi-0:0:0:0",
            "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.1",
            "/srv/bench/slot-a",
        ] {
            assert!(good.parse::<PortPath>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/dev/sdb",
            "/dev/mmcblk0",
            "/dev/../dev/sdb",
            "dev/disk/by-path/x",
            "/a//b",
            "/a/ b",
            "/x",
        ] {
            assert!(bad.parse::<PortPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_key_only() {
        let (one, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let key = WriterKey::of(&one.verifying_key()).unwrap();
        let signature = BASE64.encode(one.sign(b"bytes").to_bytes());
        assert!(key.verifies(b"bytes", &signature));
        assert!(!key.verifies(b"Bytes", &signature));
        assert!(!WriterKey::of(&other.verifying_key()).unwrap().verifies(b"bytes", &signature));
        for bad in ["", "AAAA", "!!", &signature[1..]] {
            assert!(!key.verifies(b"bytes", bad), "{bad:?}");
        }
        for bad in ["", "ed25519:", "ed25519:AAAA", "rsa:x"] {
            assert!(bad.parse::<WriterKey>().is_err(), "{bad:?}");
        }
    }
}
