//! The one line of a long log that says why a tool failed.
//!
//! Tools say what went wrong and then go on: clean up, repeat it in other words, print how to
//! report bugs. So neither the first nor the last line will do. Lines are weighed by what they
//! say; of several of the same weight the first one is the cause.

/// What a full disk is called: by the C library, by xorriso, mksquashfs and apt in their own words.
const FULL: [&str; 6] = [
    "No space left on device",
    "Disk quota exceeded",
    "exceeds free space on media",
    "out of space on output filesystem",
    "You don't have enough free space",
    "not enough free disk space",
];

/// Words that name a cause, from the surest to the weakest.
const CAUSES: [&[&str]; 5] = [
    &FULL,
    &["Cannot allocate memory", "Out of memory", "out of memory", "oom-kill"],
    &[
        "FATAL ERROR",
        ": FATAL :",
        ": FAILURE :",
        "E: Unable to locate package",
        "E: Package '",
        "unmet dependencies",
        "NO_PUBKEY",
        "is not signed",
        "Hash Sum mismatch",
        "404  Not Found",
        "Could not resolve",
        "Kernel panic",
        "command not found",
        "No such file or directory",
        "Permission denied",
        "Read-only file system",
        "Input/output error",
        "trying to overwrite",
        "dependency problems",
    ],
    &[": error:", "E: ", "error: ", "Error: ", "ERROR", ": SORRY :", "fatal:", "Err:"],
    &["rror", "ailed", "annot", "ould not", "nable to", "not found", "refused", "denied"],
];

/// Lines that only repeat that something failed.
const ECHOES: [&str; 8] = [
    "Errors were encountered while processing",
    "E: Sub-process",
    "returned error exit status",
    "returned an error code",
    "Aborting event",
    "Some index files failed to download",
    "See also the full log",
    "failed: exit status",
];

/// The line that decides, trimmed; the last one where no line says why. None in an empty text.
pub fn line(text: &str) -> Option<&str> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = || lines().filter(|line| !ECHOES.iter().any(|echo| line.contains(echo)));
    CAUSES
        .iter()
        .find_map(|words| telling().find(|line| words.iter().any(|word| line.contains(word))))
        .or_else(|| telling().last())
        .or_else(|| lines().last())
}

/// Whether a text says that a disk is full.
pub fn says_disk_full(text: &str) -> bool {
    FULL.iter().any(|words| text.contains(words))
}
