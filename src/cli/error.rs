//! The one place that turns a [`Failure`] into words, JSON and an exit code.

use super::terminal::{Palette, clean, clean_lines};
use crate::model::{ErrorCode, Failure, FailureClass};
use serde::Serialize;

/// Every exit code. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done; also: there was nothing to do.
    Ok = 0,
    /// A bug in Bootwright.
    Bug = 1,
    /// The command line or the catalog must be changed.
    Spec = 2,
    /// `plan --exit-code`: there is something to do.
    Pending = 3,
    /// A mirror, a package or another service on the way.
    Upstream = 4,
    /// This host: disk, memory, a missing tool, no permission.
    Host = 5,
    /// A declared limit was exceeded.
    Limit = 6,
    /// Something did not prove itself: a boot, a check, a signature, a digest.
    Verify = 7,
    /// Stopped on request.
    Interrupted = 130,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Exit; 9] = [
        Self::Ok,
        Self::Bug,
        Self::Spec,
        Self::Pending,
        Self::Upstream,
        Self::Host,
        Self::Limit,
        Self::Verify,
        Self::Interrupted,
    ];

    /// The exit code of a failure. Bytes that do not match have one of their own, whoever
    /// is at fault: no script shall take them for a network that may come back.
    pub fn of(failure: &Failure) -> Self {
        if failure.code == ErrorCode::Untrusted {
            return Self::Verify;
        }
        match failure.class {
            FailureClass::Spec => Self::Spec,
            FailureClass::Upstream => Self::Upstream,
            FailureClass::Host => Self::Host,
            FailureClass::Limit => Self::Limit,
            FailureClass::Verify => Self::Verify,
            FailureClass::Cancelled => Self::Interrupted,
            FailureClass::Bug => Self::Bug,
        }
    }

    /// What it means and what a script should do, for the documentation.
    fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("done; also: there was nothing to do", "go on"),
            Self::Bug => ("a bug in Bootwright", "report it with the output of the same command and `-v`"),
            Self::Spec => (
                "the command line, a file of the catalog or the name of a release is wrong",
                "change what the message names; trying again does not help",
            ),
            Self::Pending => ("`plan --exit-code` found something to do", "`bootwright reconcile`"),
            Self::Upstream => ("a mirror, a package or another service failed", "try again later"),
            Self::Host => ("this host lacks a tool, a right, disk or memory", "`bootwright doctor`"),
            Self::Limit => {
                ("a limit that the spec declares was exceeded", "raise the limit or take something out")
            }
            Self::Verify => (
                "something did not prove itself: a boot, a check, a signature, a digest",
                "do not use the image; look at the evidence",
            ),
            Self::Interrupted => (
                "stopped on request (Ctrl-C, SIGTERM), or by a second request at once",
                "run the same command again: it goes on from the last finished step",
            ),
        }
    }
}

/// A failure as people read it: what, details indented, what to do.
pub fn text(failure: &Failure, palette: Palette) -> String {
    let mut out = format!("{} {}\n", palette.bad("error:"), indented_rest(&failure.message));
    for line in failure.details.iter().flat_map(|d| clean_lines(d)) {
        out.push_str("    ");
        out.push_str(&line);
        out.push('\n');
    }
    if let Some(hint) = &failure.hint {
        out.push_str(&format!("{} {}\n", palette.good("hint:"), indented_rest(hint)));
    }
    if failure.class == FailureClass::Bug {
        out.push_str(
            "This is a bug in Bootwright; please report it with the output of the same command and -v.\n",
        );
    }
    out
}

/// A text of several lines, cleaned, all but the first indented.
fn indented_rest(text: &str) -> String {
    clean_lines(text).join("\n    ")
}

/// A failure as programs read it: `BuildError` of requirement 1, section 9.2, with the
/// class and the exit code in addition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildError<'a> {
    /// The stable code.
    pub code: ErrorCode,
    /// What failed, on what.
    pub message: &'a str,
    /// The field of a document that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<&'a str>,
    /// The lines that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details<'a>>,
    /// Who has to act.
    pub class: FailureClass,
    /// What the process exits with.
    pub exit_code: u8,
}

/// Additional context of a failure.
#[derive(Debug, Serialize)]
pub struct Details<'a> {
    /// The decisive lines of a tool's or our own output.
    pub output: Vec<&'a str>,
}

impl<'a> From<&'a Failure> for BuildError<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            code: failure.code,
            message: &failure.message,
            field: failure.field.as_deref(),
            suggestion: failure.hint.as_deref(),
            details: failure.details.as_deref().map(|d| Details { output: d.lines().collect() }),
            class: failure.class,
            exit_code: Exit::of(failure) as u8,
        }
    }
}

/// `docs/exit-codes.md`, made from the tables above.
pub fn exit_codes_markdown() -> String {
    let mut out = String::from(
        "# Exit codes and error codes\n\n\
         Made from `src/cli/error.rs`; a test holds this file to it.\n\n\
         ## Exit codes\n\n| code | meaning | what to do |\n|---|---|---|\n",
    );
    for exit in Exit::ALL {
        let (what, then) = exit.meaning();
        out.push_str(&format!("| {} | {what} | {then} |\n", exit as u8));
    }
    out.push_str(
        "\n`reconcile` goes on when an image fails. It exits with the code of the first failure in the order of the plan. `cache verify` exits with 7 when it found a damaged entry, also where it removed it.\n\n\
         ## Error codes\n\n\
         With `--output json` a failure is one object on stdout:\n\n\
         ```json\n{\"error\": {\"code\": \"E2002\", \"message\": \"xorriso is not installed\", \"suggestion\": \"It is in the Debian package xorriso; `bootwright doctor --install` installs what is missing.\", \"class\": \"host\", \"exitCode\": 5}}\n```\n\n\
         `field` names the field of a document, `details.output` holds the decisive lines. \
         `class` says who has to act: `spec`, `upstream`, `host`, `limit`, `verify`, `cancelled`, `bug`.\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for code in ErrorCode::ALL {
        out.push_str(&format!("| `{}` | {} |\n", code.as_str(), code.meaning()));
    }
    out
}

/// A failure's message on one line, for lists.
pub fn one_line(failure: &Failure) -> String {
    clean(&failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_code() {
        for (failure, exit) in [
            (Failure::spec("x"), 2),
            (Failure::not_found("x"), 2),
            (Failure::upstream("x"), 4),
            (Failure::host("x"), 5),
            (Failure::new(ErrorCode::LimitExceeded, FailureClass::Limit, "x"), 6),
            (Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, "x"), 7),
            (Failure::untrusted("x"), 7),
            (Failure::cancelled(), 130),
            (Failure::bug("x"), 1),
        ] {
            assert_eq!(Exit::of(&failure) as u8, exit, "{failure:?}");
        }
    }

    #[test]
    fn words_are_indented_and_clean() {
        let failure = Failure::host("xorriso failed\u{1b}[31m").details("one\n\u{1b}[2Jtwo").hint("Do it.");
        let shown = text(&failure, Palette::default());
        assert_eq!(shown, "error: xorriso failed\n    one\n    two\nhint: Do it.\n");
    }

    #[test]
    fn json_has_the_required_fields() {
        let failure = Failure::spec("bad value").field("spec.base").hint("Use debian.").details("a\nb");
        let json = serde_json::to_value(BuildError::from(&failure)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "code": "VALIDATION_ERROR", "message": "bad value", "field": "spec.base",
                "suggestion": "Use debian.", "details": {"output": ["a", "b"]},
                "class": "spec", "exitCode": 2
            })
        );
    }
}
