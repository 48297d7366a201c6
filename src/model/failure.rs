//! What can go wrong, in which class, and what the user should do about it.
//!
//! The class decides retry and wording; it is set where the cause is known and is
//! never guessed from a bare exit code.

use super::digest::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who has to act before trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// The author of the catalog must change something.
    Spec,
    /// A mirror, a package or another service on the way.
    Upstream,
    /// This machine: disk, memory, a missing tool, no permission.
    Host,
    /// A declared limit was exceeded (image too large).
    Limit,
    /// The image was built but did not prove itself.
    Verify,
    /// The user asked to stop.
    Cancelled,
    /// Ours.
    Bug,
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Upstream => "upstream",
            Self::Host => "host",
            Self::Limit => "limit",
            Self::Verify => "verify",
            Self::Cancelled => "cancelled",
            Self::Bug => "bug",
        })
    }
}

/// Stable codes for programs. Text codes follow requirement 1, section 9.3; the `E…`
/// numbers follow requirement 4, "System Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// YAML that cannot be parsed.
    Parse,
    /// A field's value or name is wrong.
    Validation,
    /// Two fields contradict each other.
    Compat,
    /// A package is not in the distribution.
    PackageUnavailable,
    /// An ISO tool failed.
    IsoGeneration,
    /// A thing that was asked for does not exist (E1001).
    NotFound,
    /// The build could not start (E2001).
    BuildInit,
    /// A tool or its environment is missing (E2002).
    BuildEnvironment,
    /// A build step failed (E2003).
    BuildStep,
    /// A step ran past its time (E2005).
    Timeout,
    /// An artifact did not pass its checks (E3001).
    VerifyFailed,
    /// A signature or digest did not match (E3003).
    Untrusted,
    /// A cached or saved thing is corrupt (E4002).
    Corrupt,
    /// Tried too often (E4003).
    Stalled,
    /// Memory (E5001).
    OutOfMemory,
    /// Disk full (E5002).
    DiskFull,
    /// Network (E5003).
    Network,
    /// Work without network needs something that is not here.
    Offline,
    /// Permission (E5004).
    Permission,
    /// A declared limit was exceeded.
    LimitExceeded,
    /// A policy of the catalog forbids it.
    Policy,
    /// Stopped by the user.
    Cancelled,
    /// A bug in Bootwright.
    Internal,
}

impl ErrorCode {
    /// What an error code says, for the documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Parse => "a file is no valid YAML or JSON",
            Self::Validation => "a field's name or value, or an argument, is wrong",
            Self::Compat => "fields contradict each other, or ask for what cannot be built yet",
            Self::PackageUnavailable => "a package is not in the distribution",
            Self::IsoGeneration => "the ISO could not be written",
            Self::NotFound => "a thing that was asked for does not exist",
            Self::BuildInit => "the build could not start",
            Self::BuildEnvironment => "a tool or its surroundings are missing",
            Self::BuildStep => "a build step failed",
            Self::Timeout => "a step ran past its time",
            Self::VerifyFailed => "an artifact did not pass its checks",
            Self::Untrusted => "a signature or digest did not match",
            Self::Corrupt => "a cached or saved thing is damaged",
            Self::Stalled => "it failed too often to be tried again unchanged",
            Self::OutOfMemory => "memory",
            Self::DiskFull => "the disk is full",
            Self::Network => "the network, a mirror or a service",
            Self::Offline => {
                "work without network (`--offline`, `OFFLINE_ONLY`) needs something that is not in the cache"
            }
            Self::Permission => "a right is missing",
            Self::LimitExceeded => "a limit that the spec declares was exceeded",
            Self::Policy => "a policy of the catalog forbids it",
            Self::Cancelled => "stopped on request",
            Self::Internal => "a bug in Bootwright",
        }
    }

    /// The code as it stands in JSON output and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "PARSE_ERROR",
            Self::Validation => "VALIDATION_ERROR",
            Self::Compat => "COMPAT_ERROR",
            Self::PackageUnavailable => "PKG_UNAVAILABLE",
            Self::IsoGeneration => "ISO_GEN_FAIL",
            Self::NotFound => "E1001",
            Self::BuildInit => "E2001",
            Self::BuildEnvironment => "E2002",
            Self::BuildStep => "E2003",
            Self::Timeout => "E2005",
            Self::VerifyFailed => "E3001",
            Self::Untrusted => "E3003",
            Self::Corrupt => "E4002",
            Self::Stalled => "E4003",
            Self::OutOfMemory => "E5001",
            Self::DiskFull => "E5002",
            Self::Network => "E5003",
            Self::Offline => "OFFLINE",
            Self::Permission => "E5004",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::Policy => "POLICY_VIOLATION",
            Self::Cancelled => "CANCELLED",
            Self::Internal => "INTERNAL",
        }
    }

    /// Every code, in documentation order.
    pub const ALL: [ErrorCode; 23] = [
        Self::Parse,
        Self::Validation,
        Self::Compat,
        Self::PackageUnavailable,
        Self::IsoGeneration,
        Self::NotFound,
        Self::BuildInit,
        Self::BuildEnvironment,
        Self::BuildStep,
        Self::Timeout,
        Self::VerifyFailed,
        Self::Untrusted,
        Self::Corrupt,
        Self::Stalled,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::Network,
        Self::Offline,
        Self::Permission,
        Self::LimitExceeded,
        Self::Policy,
        Self::Cancelled,
        Self::Internal,
    ];
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown error code {text:?}")))
    }
}

/// A failure that a user sees: what failed, on which object, why, and what to do.
///
/// `message` is lower case and names the object; `hint` is a full sentence that says
/// what to do; `details` is the decisive part of a tool's own output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code.
    pub code: ErrorCode,
    /// Who has to act.
    pub class: FailureClass,
    /// What failed, on what.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// The lines that decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<String>,
    /// The field of a document that caused it: `spec.packages.servers[2]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// The policies that it rests on: under other ones it says nothing. Boxed, because every
    /// result carries the room for a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policies: Option<Box<Digest>>,
}

/// The result of everything that can fail in front of a user.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of `class` with a stable code.
    pub fn new(code: ErrorCode, class: FailureClass, message: impl Into<String>) -> Self {
        Self { code, class, message: message.into(), hint: None, details: None, field: None, policies: None }
    }

    /// The author of the catalog must change something.
    pub fn spec(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Validation, FailureClass::Spec, message)
    }

    /// A thing that was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, FailureClass::Spec, message)
    }

    /// A mirror, package or service failed.
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Network, FailureClass::Upstream, message)
    }

    /// A digest or signature does not match.
    pub fn untrusted(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Untrusted, FailureClass::Upstream, message)
    }

    /// It was asked for without network, and something is not here.
    pub fn offline(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Offline, FailureClass::Upstream, message)
    }

    /// This machine cannot do it.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BuildEnvironment, FailureClass::Host, message)
    }

    /// A disk of this machine is full.
    pub fn disk_full(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::DiskFull, FailureClass::Host, message)
            .hint("Free some space there, or set another cache or work folder.")
    }

    /// A bug in Bootwright.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, FailureClass::Bug, message)
    }

    /// The user asked to stop.
    pub fn cancelled() -> Self {
        Self::new(ErrorCode::Cancelled, FailureClass::Cancelled, "stopped on request")
    }

    /// An I/O error on an object, classed by its kind: disk full, permission, other.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        // What is not a file of this host may say more than an error number.
        if let Some(failure) = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return failure.clone().on(what);
        }
        let (code, hint) = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                (ErrorCode::DiskFull, Some("Free some space there, or set another cache or work folder."))
            }
            std::io::ErrorKind::PermissionDenied => {
                (ErrorCode::Permission, Some("Check the owner and mode, or run as root."))
            }
            std::io::ErrorKind::ReadOnlyFilesystem => (
                ErrorCode::Permission,
                Some("It is mounted read-only: mount it writable, or set another place."),
            ),
            std::io::ErrorKind::OutOfMemory => (ErrorCode::OutOfMemory, None),
            std::io::ErrorKind::NotFound => (ErrorCode::NotFound, None),
            _ => (ErrorCode::BuildStep, None),
        };
        let failure = Self::new(code, FailureClass::Host, format!("{what}: {error}"));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// The one line of its details that says why.
    pub fn deciding_line(&self) -> Option<&str> {
        super::deciding::line(self.details.as_deref()?)
    }

    /// The same failure with a sentence that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with the decisive part of a tool's output.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// The same failure with the field of a document that caused it.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same failure with another code.
    #[must_use]
    pub fn code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// The same failure, its message led by the object it happened on.
    #[must_use]
    pub fn on(mut self, object: impl fmt::Display) -> Self {
        self.message = format!("{object}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Turns an [`std::io::Result`] into a [`Result`] that names the object.
pub trait IoContext<T> {
    /// Names what was being done, lazily: `opening {path}`.
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|e| Failure::io(what(), &e))
    }
}
