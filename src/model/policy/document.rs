//! `policies/NAME.yaml`: a policy as people write it.
//!
//! One rule asks for one thing. Every field of a rule asks for more; there is none that
//! takes back what another rule asks for.

use crate::model::name::{ChannelName, RuleName, UnitName};
use crate::model::spec::{ApiVersion, Architecture, Base, BootMode, Output, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One document of kind `Policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDocument {
    /// Always `bootwright/v1`.
    pub api_version: ApiVersion,
    /// Always `Policy`.
    pub kind: PolicyKind,
    /// Who this document is.
    pub metadata: PolicyMetadata,
    /// What is asked.
    pub spec: PolicySpec,
}

/// The kind of a policy document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PolicyKind {
    /// Rules for specs, locks, image content and releases.
    Policy,
}

/// Name and description of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyMetadata {
    /// The policy's name.
    pub name: RuleName,
    /// What it is for, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a policy asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// The rules; all of them hold.
    pub rules: Vec<RuleText>,
}

/// One rule: exactly one of the fields behind `select` is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleText {
    /// The rule's name, unique among all policies of the catalog.
    pub id: RuleName,
    /// What a violation does.
    #[serde(default)]
    pub severity: Severity,
    /// Why there is this rule, or what to do about it: one line, shown with every finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The images that the rule is about; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<Select>,
    /// Spec: `base` is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_bases: Option<Vec<Base>>,
    /// Spec: `suite` is one of these (`*` and `?` stand for any letters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_suites: Option<Vec<String>>,
    /// Spec: every mirror that serves the image's base has only addresses that begin with one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_mirrors: Option<Vec<String>>,
    /// Spec: nothing is said against the image by one of these rules between fields, not even a
    /// warning (`*` and `?` stand for any letters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_rules: Option<Vec<String>>,
    /// Lock: no package has such a name (`*` and `?` stand for any letters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden_packages: Option<Vec<String>>,
    /// Lock: for each of these there is an installed package of such a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_packages: Option<Vec<String>>,
    /// Lock: the catalog has a lock; one that a run would make does not count. Only `true` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_required: Option<bool>,
    /// Spec and release: no output is larger, nor may a spec declare a larger limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sizes: Option<MaxSizes>,
    /// Spec and release: what an image has to show before it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_verification: Option<RequiredVerification>,
    /// Release: only these keys sign, by SHA-256 of the public key (DER) or OpenPGP fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_signers: Option<Vec<String>>,
    /// Release: what a channel points to is not older, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub max_age_days: Option<u32>,
    /// Content: no such path (`*` stays within one folder, `**` does not).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_paths: Option<Vec<String>>,
    /// Content: for each of these there is such a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present_paths: Option<Vec<String>>,
    /// Content: only these files are set-user-ID or set-group-ID; none when the list is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setuid_only: Option<Vec<String>>,
    /// Content: no account has an empty password. Only `true` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_empty_passwords: Option<bool>,
    /// Content: nobody but owner and group may write to a file, or to a folder without the sticky bit. Only `true` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_world_writable: Option<bool>,
    /// Content: files and folders that may have no other mode bits than these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_modes: Option<Vec<FileMode>>,
    /// Release: no file is listed as not reproducible. Only `true` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproducible: Option<bool>,
    /// Release: no firmware that no virtual machine here has started. Only `true` can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_firmware: Option<bool>,
}

/// What a violation does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The image is refused.
    #[default]
    Error,
    /// It is shown.
    Warning,
    /// It is shown to whoever looks.
    Info,
}

impl Severity {
    /// The word as it stands in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What a catalog asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProductKind {
    /// An OS image.
    Image,
    /// The firmware of a device.
    Firmware,
}

/// Images: those that fit every list that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Select {
    /// Names (`*` and `?` stand for any letters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// OS images or the firmware of devices; both when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<ProductKind>>,
    /// Channels that the specs name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<ChannelName>>,
    /// Distributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bases: Option<Vec<Base>>,
    /// Images with at least one of these outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
    /// Processor architectures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<Architecture>>,
}

/// The largest size of each output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaxSizes {
    /// The ISO file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iso: Option<Size>,
    /// The OCI archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<Size>,
    /// The root filesystem archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<Size>,
}

/// What an image has to show, at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequiredVerification {
    /// Ways to boot that `verify.boot` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot: Vec<BootMode>,
    /// Units that `verify.units` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitName>,
    /// Ports that `verify.ports` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<std::num::NonZeroU16>,
    /// The least `verify.dwellSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_seconds: Option<u32>,
    /// Outputs that no release carries without evidence of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// The only mode bits that some files may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileMode {
    /// Which files and folders.
    pub path: String,
    /// Octal, as a text: `"0640"`.
    pub at_most: String,
}
