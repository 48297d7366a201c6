//! What a booted system has to show for each field of its spec.
//!
//! A check is data: the room `configure` makes it from the spec, the image carries it, the
//! probe answers it, and `verify` judges the answer by the field that it belongs to.

use super::digest::Digest;
use super::name::UserName;
use super::spec::Protocol;
use serde::{Deserialize, Serialize};

/// One thing that the running system has to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The field of the spec that asks for it: `spec.securityFeatures.firewall.policy`.
    pub field: String,
    /// What is expected.
    pub expect: Expect,
    /// Whether a live medium alone has to show it.
    #[serde(default)]
    pub live: bool,
}

/// What is expected of a running system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Expect {
    /// A service (its init system's own name) runs, or does not.
    Service {
        /// Its name; with systemd a unit's full name.
        name: String,
        /// Whether it has to run.
        running: bool,
    },
    /// A timer is waiting for its next time.
    Timer {
        /// The unit's full name.
        unit: String,
    },
    /// Somebody listens on a port, or nobody does.
    Listen {
        /// The protocol.
        protocol: Protocol,
        /// The port.
        port: u16,
        /// Whether others than this machine itself can reach it; `None` if either is right.
        outside: Option<bool>,
    },
    /// A file is there.
    File {
        /// Absolute path.
        path: String,
        /// Its permission bits.
        mode: Option<u32>,
        /// Its owner's name.
        owner: Option<String>,
        /// SHA-256 of its bytes.
        sha256: Option<Digest>,
    },
    /// A symbolic link points there.
    Link {
        /// Absolute path.
        path: String,
        /// Where it points, as it stands there.
        target: String,
    },
    /// A file has this line, space around it not counted.
    Line {
        /// Absolute path.
        path: String,
        /// The line.
        line: String,
    },
    /// An account.
    User {
        /// Its name.
        name: UserName,
        /// Its login shell.
        shell: Option<String>,
        /// Groups that it is in, among others.
        groups: Vec<String>,
    },
    /// A kernel setting has this value; runs of blanks count as one space.
    Sysctl {
        /// Its name, with dots.
        key: String,
        /// Its value.
        value: String,
    },
    /// A kernel module is loaded, or cannot be.
    Module {
        /// Its name.
        name: String,
        /// Whether it has to be loaded.
        loaded: bool,
    },
    /// The kernel was started with this word.
    KernelFlag {
        /// The word.
        word: String,
    },
    /// A program's standard output has a line with this text in it, and its status is 0.
    Output {
        /// The program's absolute path and its arguments.
        argv: Vec<String>,
        /// The text; empty if the status says all.
        contains: String,
    },
    /// A file system is mounted there.
    Mount {
        /// Absolute path.
        path: String,
        /// Its type, as in `/proc/mounts`.
        kind: Option<String>,
    },
    /// A process of this name (`/proc/PID/comm`) runs.
    Process {
        /// Its name, at most 15 bytes.
        name: String,
    },
}
