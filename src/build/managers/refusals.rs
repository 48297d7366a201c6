//! Why packages are refused, in words that are the same for all package managers.

use crate::effects::process::Output;
use crate::model::{ErrorCode, Failure, FailureClass};

/// How many of the last lines of a manager are shown.
const LINES: usize = 25;

/// No repository has a package of this name.
pub(super) fn unavailable(name: &str, layer: &str) -> Failure {
    let message = format!("package {name} of layer {layer} is not in the configured repositories");
    Failure::new(ErrorCode::PackageUnavailable, FailureClass::Spec, message)
        .hint("Check the spelling, the suite, and the mirrors' `components:`.")
}

/// The packages of a layer exclude one another, or need what is nowhere.
pub(super) fn conflict(layer: &str) -> Failure {
    let message = format!("the packages of layer {layer} cannot be installed together");
    Failure::new(ErrorCode::Compat, FailureClass::Spec, message)
        .hint("Remove one of the packages that are named.")
}

/// A package that nobody vouches for.
pub(super) fn untrusted() -> Failure {
    Failure::untrusted("a package is not signed by a key of the mirrors' keyrings, or was changed")
        .hint("Check `keyring:` of the mirror in bootwright.yaml; tell who runs the repository.")
}

/// Why locked packages were not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Two of them have one file.
    SameFile,
    /// They exclude one another.
    Conflict,
    /// A script of one of them failed.
    Script,
    /// Anything else.
    Other,
}

impl Cause {
    /// As a failure, with what was said last.
    pub(super) fn failure(self, output: &Output) -> Failure {
        let (code, class, message) = match self {
            Self::SameFile => (ErrorCode::Compat, FailureClass::Spec, "two packages bring the same file"),
            Self::Conflict => {
                (ErrorCode::Compat, FailureClass::Spec, "the locked packages cannot be installed together")
            }
            Self::Script => (ErrorCode::BuildStep, FailureClass::Upstream, "a package's script failed"),
            Self::Other => (ErrorCode::BuildStep, FailureClass::Upstream, "packages could not be installed"),
        };
        Failure::new(code, class, message).details(last_words(output))
    }
}

/// Both streams of a manager.
pub(super) fn words(output: &Output) -> String {
    format!("{}\n{}", output.text(), output.errors())
}

/// The last lines of both streams.
pub(super) fn last_words(output: &Output) -> String {
    last_lines(words(output).lines())
}

/// The last lines that are not empty.
pub(super) fn last_lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown() {
        let said: String = (0..30).map(|n| format!("  {n}\n\n")).collect();
        let shown = last_lines(said.lines());
        assert!(shown.starts_with("5\n") && shown.ends_with("\n29"), "{shown}");
        assert_eq!(last_lines("".lines()), "");
    }
}
