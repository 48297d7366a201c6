//! Why `make` failed: its exit is 2 for everything, so the words decide.
//!
//! The table goes from the cause to its echoes: a package manager that could not read an index
//! goes on and says that there is no such package, which is then no fault of the profile's
//! author. Words are those of OpenWrt's Makefile, of opkg (to 24.10) and of apk (from 25.12).

use crate::model::{ErrorCode, Failure, FailureClass, deciding};

/// How many of the last lines a failure shows.
const TAIL: usize = 15;

/// One kind of trouble.
struct Row {
    /// Words that its line has, all of one entry.
    words: &'static [&'static [&'static str]],
    code: ErrorCode,
    class: FailureClass,
    /// What is said.
    message: &'static str,
    /// What to do.
    hint: &'static str,
}

/// From the surest cause to the weakest.
const TABLE: [Row; 14] = [
    Row {
        words: &[&["No space left on device"], &["Disk quota exceeded"]],
        code: ErrorCode::DiskFull,
        class: FailureClass::Host,
        message: "the disk is full",
        hint: "Free some space there, or set another cache.",
    },
    Row {
        words: &[&["Build dependency: Please install"], &["Prerequisite check failed"]],
        code: ErrorCode::BuildEnvironment,
        class: FailureClass::Host,
        message: "this host lacks a tool that the Image Builder needs",
        hint: "Install what the line names: `bootwright doctor --install` installs most of it.",
    },
    Row {
        words: &[&["Profile \"", "does not exist!"]],
        code: ErrorCode::NotFound,
        class: FailureClass::Spec,
        message: "the Image Builder has no such device",
        hint: "`bootwright openwrt profiles new --offered` lists those that there are.",
    },
    Row {
        words: &[&["UNTRUSTED signature"], &["Signature check failed"]],
        code: ErrorCode::Untrusted,
        class: FailureClass::Upstream,
        message: "a package index is not signed by a key that is trusted",
        hint: "Check `repositories[].key` of the profile; an index of OpenWrt itself is damaged or replaced.",
    },
    Row {
        words: &[&["file format is invalid or inconsistent"]],
        code: ErrorCode::Corrupt,
        class: FailureClass::Upstream,
        message: "a package index is damaged",
        hint: "Run again; if it stays so, the mirror is at fault.",
    },
    Row {
        words: &[&["file integrity error"], &["Checksum or size mismatch"]],
        code: ErrorCode::Corrupt,
        class: FailureClass::Upstream,
        message: "a package is damaged",
        hint: "Run again; if it stays so, the mirror is at fault.",
    },
    Row {
        words: &[
            &["wget: exited with error"],
            &["unexpected end of file"],
            &["Failed to download", "wget returned"],
        ],
        code: ErrorCode::Network,
        class: FailureClass::Upstream,
        message: "a package or an index could not be downloaded",
        hint: "Run again when the network and the server are back; what arrived is kept.",
    },
    Row {
        words: &[&["is too big:", ">"], &["failed to allocate", "out of space?"]],
        code: ErrorCode::LimitExceeded,
        class: FailureClass::Limit,
        message: "the firmware is too big for the device",
        hint: "Take packages out (`packages.remove`), or raise `rootfsSize` where the target has one.",
    },
    Row {
        words: &[&["trying to overwrite", "owned by"], &["check_data_file_clashes"]],
        code: ErrorCode::Compat,
        class: FailureClass::Spec,
        message: "two packages have the same file",
        hint: "Leave one of the two out with `packages.remove`.",
    },
    Row {
        words: &[&["breaks:"], &["conflicts:"]],
        code: ErrorCode::Compat,
        class: FailureClass::Spec,
        message: "packages do not go together",
        hint: "Leave one of them out with `packages.remove`.",
    },
    // opkg says these before it blames the architecture and the package itself.
    Row {
        words: &[&["cannot find dependency", "for"]],
        code: ErrorCode::PackageUnavailable,
        class: FailureClass::Spec,
        message: "a package needs another one that is not in this release",
        hint: "Leave the package out, or name a repository that has what it needs.",
    },
    Row {
        words: &[&["(no such package):"], &["Cannot install package"], &["Unknown package '"]],
        code: ErrorCode::PackageUnavailable,
        class: FailureClass::Spec,
        message: "a package is not in this release",
        hint: "Check its name; packages are renamed and split between releases.",
    },
    Row {
        words: &[&["postinst script", "has failed with exit code"]],
        code: ErrorCode::BuildStep,
        class: FailureClass::Upstream,
        message: "a package's script failed",
        hint: "Leave the package out, or tell who makes it.",
    },
    Row {
        words: &[&["Cannot allocate memory"], &["Out of memory"], &["out of memory"]],
        code: ErrorCode::OutOfMemory,
        class: FailureClass::Host,
        message: "memory ran out",
        hint: "Free some, or run fewer jobs.",
    },
];

/// What is said on the line after "(no such package):" if another package asked for it.
const ASKED_BY: &str = "required by:";
/// What apk calls the list of what was asked for.
const WORLD: &str = "world[";

/// Reads the log of a `make` that failed, or that left out what it should have made. Where there
/// was no network, what could not be downloaded was not needed: indexes are asked for each time.
pub fn read(log: &str, what: &str, network: bool) -> Option<Failure> {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is =
        |row: &Row, line: &str| row.words.iter().any(|words| words.iter().all(|word| line.contains(word)));
    let mut rows = TABLE.iter().filter(|row| network || row.code != ErrorCode::Network);
    let (row, at) = rows.find_map(|row| Some((row, lines.iter().position(|line| is(row, line))?)))?;
    let line = lines[at];
    let (mut message, mut hint) = (row.message.to_owned(), row.hint.to_owned());
    if let Some(over) = over(line) {
        message = format!("{message}: {over}");
    }
    if row.code == ErrorCode::PackageUnavailable
        && let Some(asker) = asker(&lines[at + 1..])
    {
        message = "a package needs another one that is not in this release".to_owned();
        hint = format!("It is {asker} that asks for it: leave that out, or name a repository that has both.");
    }
    Some(
        Failure::new(row.code, row.class, format!("{what}: {message}"))
            .details(details(&lines, at))
            .hint(hint),
    )
}

/// The failure of a log that says nothing we know. It is not blamed on the profile.
pub fn unknown(log: &str, what: &str, status: &str) -> Failure {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let decisive = deciding::line(log).and_then(|line| lines.iter().position(|other| *other == line));
    Failure::new(ErrorCode::BuildStep, FailureClass::Bug, format!("{what}: make failed ({status})"))
        .details(details(&lines, decisive.unwrap_or(lines.len().saturating_sub(1))))
        .hint("The log says no cause that is known here: please report it.")
}

/// The line that decided, and the last ones.
fn details(lines: &[&str], at: usize) -> String {
    let tail = lines.len().saturating_sub(TAIL);
    let shown = lines[tail..].join("\n");
    match lines.get(at) {
        Some(line) if at < tail => format!("{line}\n…\n{shown}"),
        Some(line) => format!("{line}\n…\n{}", lines[tail.max(at + 1)..].join("\n")),
        None => shown,
    }
}

/// By how much an image is too big: `is too big: 17000000 > 16121856`.
fn over(line: &str) -> Option<String> {
    let (_, sizes) = line.split_once("is too big:")?;
    let (size, limit) = sizes.split_once('>')?;
    let number =
        |text: &str| -> Option<u64> { text.trim().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok() };
    let (size, limit) = (number(size)?, number(limit)?);
    Some(format!("{size} bytes, {} more than the {limit} that fit", size.checked_sub(limit)?))
}

/// The package that asked for the one that is missing, as apk tells it; nothing where it was
/// asked for by name.
fn asker<'l>(after: &[&'l str]) -> Option<&'l str> {
    let line = after.first().and_then(|line| line.strip_prefix(ASKED_BY))?.trim();
    if line.contains(WORLD) { None } else { line.split('[').next().filter(|name| !name.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Log, class, code, words of the line that decides.
    const CASES: [(&str, FailureClass, ErrorCode, &str); 24] = [
        (
            "ERROR: unable to select packages:\n  nosuch (no such package):\n    required by: world[nosuch]\nmake[2]: *** [Makefile:200: package_install] Error 1\n",
            FailureClass::Spec,
            ErrorCode::PackageUnavailable,
            "nosuch (no such package)",
        ),
        (
            "ERROR: unable to select packages:\n  libmissing (no such package):\n    required by: broken-1.0-r1[libmissing]\n",
            FailureClass::Spec,
            ErrorCode::PackageUnavailable,
            "libmissing (no such package)",
        ),
        (
            "Unknown package 'nosuch'.\nCollected errors:\n * opkg_install_cmd: Cannot install package nosuch.\n",
            FailureClass::Spec,
            ErrorCode::PackageUnavailable,
            "nosuch",
        ),
        (
            "Collected errors:\n * pkg_hash_check_unresolved: cannot find dependency libmissing for broken\n * pkg_hash_fetch_best_installation_candidate: Packages for broken found, but incompatible with the architectures configured\n * opkg_install_cmd: Cannot install package broken.\n",
            FailureClass::Spec,
            ErrorCode::PackageUnavailable,
            "cannot find dependency libmissing for broken",
        ),
        (
            "ERROR: unable to select packages:\n  a-1:\n    breaks: b-2\n",
            FailureClass::Spec,
            ErrorCode::Compat,
            "breaks: b-2",
        ),
        (
            "  a-1:\n    conflicts: b-2\n    satisfies: world[a]\n",
            FailureClass::Spec,
            ErrorCode::Compat,
            "conflicts: b-2",
        ),
        (
            "ERROR: b-2: trying to overwrite etc/x owned by a-1.\n",
            FailureClass::Spec,
            ErrorCode::Compat,
            "trying to overwrite etc/x",
        ),
        (
            " * check_data_file_clashes: Package b wants to install file /etc/x\n * opkg_install_cmd: Cannot install package b.\n",
            FailureClass::Spec,
            ErrorCode::Compat,
            "check_data_file_clashes",
        ),
        (
            "WARNING: updating https://h/packages.adb: UNTRUSTED signature\nERROR: unable to select packages:\n  luci (no such package):\n    required by: world[luci]\n",
            FailureClass::Upstream,
            ErrorCode::Untrusted,
            "UNTRUSTED signature",
        ),
        (
            "Signature check failed.\nRemove wrong Signature file.\n * opkg_install_cmd: Cannot install package luci.\n",
            FailureClass::Upstream,
            ErrorCode::Untrusted,
            "Signature check failed",
        ),
        (
            "WARNING: https://h/packages.adb: file format is invalid or inconsistent\n  luci (no such package):\n",
            FailureClass::Upstream,
            ErrorCode::Corrupt,
            "file format is invalid",
        ),
        (
            "ERROR: luci-1: file integrity error\n",
            FailureClass::Upstream,
            ErrorCode::Corrupt,
            "file integrity error",
        ),
        (
            " * pkg_verify: Checksum or size mismatch for package luci\n * opkg_install_cmd: Cannot install package luci.\n",
            FailureClass::Upstream,
            ErrorCode::Corrupt,
            "Checksum or size mismatch",
        ),
        (
            "WARNING: fetching https://h/packages.adb: wget: exited with error 8\n  luci (no such package):\n",
            FailureClass::Upstream,
            ErrorCode::Network,
            "wget: exited with error 8",
        ),
        (
            "ERROR: luci-1: unexpected end of file\n",
            FailureClass::Upstream,
            ErrorCode::Network,
            "unexpected end of file",
        ),
        (
            " * opkg_download: Failed to download https://h/luci.ipk, wget returned 8.\n * opkg_install_cmd: Cannot install package luci.\n",
            FailureClass::Upstream,
            ErrorCode::Network,
            "Failed to download",
        ),
        (
            "    WARNING: Image file /b/root.squashfs is too big: 17000000 > 16121856\n",
            FailureClass::Limit,
            ErrorCode::LimitExceeded,
            "is too big: 17000000 > 16121856",
        ),
        (
            "ext4_allocate_best_fit_partial: failed to allocate 4096 blocks, out of space?\n",
            FailureClass::Limit,
            ErrorCode::LimitExceeded,
            "failed to allocate 4096 blocks",
        ),
        (
            "postinst script ./usr/lib/opkg/info/x.postinst has failed with exit code 1\n",
            FailureClass::Upstream,
            ErrorCode::BuildStep,
            "has failed with exit code 1",
        ),
        (
            "Profile \"netgear_r9999\" does not exist!\nUse \"make info\" to get a list of available profile names.\n",
            FailureClass::Spec,
            ErrorCode::NotFound,
            "does not exist!",
        ),
        (
            "Build dependency: Please install 'unzip'\nPrerequisite check failed. Use FORCE=1 to override.\n",
            FailureClass::Host,
            ErrorCode::BuildEnvironment,
            "Please install 'unzip'",
        ),
        (
            "Prerequisite check failed. Use FORCE=1 to override.\n",
            FailureClass::Host,
            ErrorCode::BuildEnvironment,
            "Prerequisite check failed",
        ),
        (
            "cp: error writing 'x': No space left on device\n * opkg_install_cmd: Cannot install package luci.\n",
            FailureClass::Host,
            ErrorCode::DiskFull,
            "No space left on device",
        ),
        ("mksquashfs: Out of memory\n", FailureClass::Host, ErrorCode::OutOfMemory, "Out of memory"),
    ];

    #[test]
    fn every_message_has_its_class_and_its_line() {
        for (log, class, code, line) in CASES {
            let log = format!(
                "Building images for x86\nInstalling packages...\n{log}make: *** [Makefile:1: image] Error 2\n"
            );
            let failure = read(&log, "ap", true).unwrap_or_else(|| panic!("{log}"));
            assert_eq!((failure.class, failure.code), (class, code), "{log}");
            let details = failure.details.unwrap();
            assert!(details.lines().next().unwrap().contains(line), "{line}: {details}");
            assert!(failure.hint.is_some() && failure.message.starts_with("ap: "));
        }
        for row in &TABLE {
            for words in row.words {
                let named = |log: &str| words.iter().all(|word| log.contains(word));
                assert!(
                    CASES.iter().any(|(log, ..)| named(log))
                        || row.code == ErrorCode::DiskFull
                        || row.code == ErrorCode::OutOfMemory,
                    "no case has {words:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_like_them_and_is_none_is_not_taken_for_one() {
        for log in [
            "",
            "Installing luci (1.0) to root...\nConfiguring luci.\n",
            "Profile \"x\" is fine\n",
            "the image is big: 3 > 2\n",
            "A file that overwrites another\n",
            "postinst script ran\n",
            "make: *** [Makefile:1: image] Error 2\n",
        ] {
            assert!(read(log, "ap", true).is_none(), "{log}");
            let failure = unknown(log, "ap", "exit status: 2");
            assert_eq!(failure.class, FailureClass::Bug, "nobody else is blamed");
        }
    }

    #[test]
    fn without_network_a_download_that_failed_is_no_cause() {
        let log =
            format!(" * opkg_download: Failed to download https://h/x, wget returned 4.\n{}", CASES[16].0);
        assert_eq!(read(&log, "ap", true).unwrap().code, ErrorCode::Network);
        assert_eq!(read(&log, "ap", false).unwrap().code, ErrorCode::LimitExceeded);
    }

    #[test]
    fn sizes_and_who_asked_are_told() {
        let big = read("x is too big: 17000000 > 16121856\n", "ap", false).unwrap();
        assert!(big.message.ends_with("17000000 bytes, 878144 more than the 16121856 that fit"), "{big}");
        let asked = read(CASES[1].0, "ap", true).unwrap();
        assert!(asked.hint.unwrap().contains("broken-1.0-r1"));
        let named = read(CASES[0].0, "ap", true).unwrap();
        assert!(named.message.ends_with("a package is not in this release"), "{named}");
    }
}
