//! What an artifact showed when it was verified.

use super::artifact::ArtifactKind;
use super::digest::Digest;
use super::failure::{ErrorCode, Failure, FailureClass};
use super::spec::BootMode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Everything that one artifact showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The bytes that were looked at.
    pub artifact: Digest,
    /// What they are.
    pub kind: ArtifactKind,
    /// The host's words for itself: QEMU's version, the accelerator, firmware.
    pub environment: Vec<String>,
    /// When the first check began.
    pub started: DateTime<Utc>,
    /// One entry for each boot or inspection.
    pub checks: Vec<Check>,
}

/// One boot or inspection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `boot-bios`, `boot-uefi`, `dpkg-audit`, `start`, …
    pub name: String,
    /// How it was started, for boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootMode>,
    /// How it ended.
    pub verdict: Verdict,
    /// Milestones in milliseconds from the start, in the order in which they were seen.
    pub timings_ms: Vec<(String, u64)>,
    /// What was found, one fact a line: `units failed: 0`.
    pub findings: Vec<String>,
    /// Files that go into the release's `evidence/` folder: name there and path now.
    #[serde(skip)]
    pub files: Vec<EvidenceFile>,
}

/// A file that goes into the release's `evidence/` folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFile {
    /// Name in the folder.
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Everything that was asked for was shown.
    Passed,
    /// The kernel panicked.
    Panic {
        /// The kernel's words.
        message: String,
    },
    /// No signal within the time.
    Hang {
        /// The last milestone that was seen.
        last: String,
    },
    /// The machine reset itself when nobody had asked for it.
    Reset {
        /// The last milestone that was seen.
        last: String,
    },
    /// It came up and did not show what was asked for.
    Refused {
        /// What was missing, one a line.
        reasons: Vec<String>,
    },
    /// The virtual machine itself failed; this says nothing about the image.
    MachineFailed {
        /// QEMU's words.
        message: String,
    },
}

impl Evidence {
    /// The first check that did not pass, as a failure; a failure of the virtual machine is
    /// the host's, everything else the image's.
    pub fn first_failure(&self) -> Option<Failure> {
        self.checks.iter().find_map(Check::failure)
    }
}

impl Check {
    /// This check as a failure, if it did not pass.
    pub fn failure(&self) -> Option<Failure> {
        let verify = |message: String| {
            Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, format!("{}: {message}", self.name))
        };
        Some(match &self.verdict {
            Verdict::Passed => return None,
            Verdict::Panic { message } => verify(format!("the kernel panicked: {message}"))
                .hint("Read the serial log; `bootwright boot` starts the image for you to look at."),
            Verdict::Hang { last } => verify(format!("no signal in time; last seen: {last}"))
                .code(ErrorCode::Timeout)
                .hint("Read the serial log, or raise verify.timeoutSeconds if the machine is slow."),
            Verdict::Reset { last } => verify(format!("the machine reset itself after: {last}"))
                .hint("Read the end of the serial log."),
            Verdict::Refused { reasons } => verify(reasons.join("; ")),
            Verdict::MachineFailed { message } => {
                Failure::host(format!("{}: the virtual machine failed: {message}", self.name))
                    .hint("This says nothing about the image; run `bootwright doctor`.")
            }
        })
    }
}
