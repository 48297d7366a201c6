//! What card writers and the controller say to each other, as JSON over HTTPS. Every request is
//! signed ([`super::http_signature`]).

use super::receipt::{FlashJob, JobState};
use super::writer::{PortPath, SlotName, WriterKey, WriterName};
use serde::{Deserialize, Serialize};

/// Where a card writer enrols.
pub const ENROLL: &str = "/v1/writer/enroll";
/// Where it asks for a job.
pub const CLAIM: &str = "/v1/writer/claim";
/// Where it says that it is still at it.
pub const BEAT: &str = "/v1/writer/beat";
/// Where it gives its receipts.
pub const RECEIPT: &str = "/v1/writer/receipt";

/// The longest request, in bytes.
pub const LONGEST: usize = 64 << 10;
/// The longest time that a request for a job is held, in seconds.
pub const LONGEST_WAIT: u64 = 60;

/// A card writer says who it is, once.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enroll {
    /// Its name.
    pub writer: WriterName,
    /// Its public key; the request is signed with it.
    pub key: WriterKey,
    /// The token that it was given.
    pub token: String,
}

/// What the controller says to that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Enrolled {
    /// The card writer's name.
    pub writer: WriterName,
}

/// A card writer asks for a job for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    /// The slot.
    pub slot: SlotName,
    /// Where it is, as the card writer believes.
    pub path: PortPath,
    /// Which installation of the card writer asks.
    pub instance: String,
    /// How long it waits for an answer, in seconds.
    pub wait_seconds: u64,
}

/// A job for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claimed {
    /// What is asked for.
    pub job: FlashJob,
    /// Which claim of the job this is.
    pub attempt: u32,
    /// How long the claim lasts unless the card writer says that it is still at it, in seconds.
    pub lease_seconds: u64,
}

/// A card writer says that it is still at a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Beat {
    /// What was asked for.
    pub job: FlashJob,
    /// Which claim it goes on with.
    pub attempt: u32,
    /// Where it stands: claimed or writing.
    pub state: JobState,
    /// What it does, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// What the controller says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beaten {
    /// Whether it shall go on.
    pub go_on: bool,
}

/// What the controller says to a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Whether the job ended with it; if not, it had ended with another one.
    pub taken: bool,
}
