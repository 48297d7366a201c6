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
const ECHOES: [&str; 9] = [
    "dpkg: error processing ",
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
        .or_else(|| telling().next_back())
        .or_else(|| lines().next_back())
}

/// Whether a text says that a disk is full.
pub fn says_disk_full(text: &str) -> bool {
    // C libraries write it with a capital, Go's without.
    let text = text.to_ascii_lowercase();
    FULL.iter().any(|words| text.contains(&words.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was printed, the kind of tool, the line that decides, and whether a disk is full.
    /// mksquashfs, xorriso, dpkg, apt and zstd said the first ones on a full tmpfs (shortened);
    /// the others are written after what such tools print.
    const SAMPLES: [(&str, &str, &str, bool); 15] = [
        (
            "mksquashfs SRC X.squashfs",
            "Write failed because No space left on device\nFATAL ERROR: Failed to write to output filesystem\n",
            "Write failed because No space left on device",
            true,
        ),
        (
            "xorriso -as mkisofs -o X.iso SRC",
            "Drive current: -outdev 'stdio:m/x.iso'\nMedia summary: 0 sessions, 0 data blocks, 0 data, 1984k free\nxorriso : UPDATE :       1 files added in 1 seconds\nxorriso : FAILURE : Image size 3113s exceeds free space on media 1024s\nlibisofs: MISHAP : Image write cancelled\nxorriso : NOTE : -return_with SORRY 32 triggered by problem severity FAILURE\n",
            "xorriso : FAILURE : Image size 3113s exceeds free space on media 1024s",
            true,
        ),
        (
            "dpkg --unpack x.deb",
            "Selecting previously unselected package x.\nUnpacking x (1) ...\ndpkg: error processing archive x.deb (--unpack):\n cannot copy extracted data for './usr/share/x/a' to '/usr/share/x/a.dpkg-new': failed to write (No space left on device)\ndpkg-deb: error: paste subprocess was killed by signal (Broken pipe)\nErrors were encountered while processing:\n x.deb\n",
            "cannot copy extracted data for './usr/share/x/a' to '/usr/share/x/a.dpkg-new': failed to write (No space left on device)",
            true,
        ),
        (
            "apt-get update",
            "Err:6 http://mirror.example/debian bookworm-updates/main amd64 Packages\n  Error writing to file - write (28: No space left on device)\nFetched 241 kB in 13s (17.9 kB/s)\nReading package lists...\nE: Some index files failed to download. They have been ignored, or old ones used instead.\n",
            "Error writing to file - write (28: No space left on device)",
            true,
        ),
        (
            "zstd SRC -o X.zst (last step of mkinitramfs)",
            "zstd: error 70 : Write error : cannot write block : No space left on device \nE: mkinitramfs failure zstd -q -9 -T0 70\n",
            "zstd: error 70 : Write error : cannot write block : No space left on device",
            true,
        ),
        (
            "apt-get update, a key that is not known",
            "Get:1 http://mirror.example/debian bookworm InRelease [151 kB]\nErr:1 http://mirror.example/debian bookworm InRelease\n  The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 0E98404D386FA1D9\nReading package lists...\nW: GPG error: http://mirror.example/debian bookworm InRelease: The following signatures couldn't be verified\nE: The repository 'http://mirror.example/debian bookworm InRelease' is not signed.\n",
            "The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 0E98404D386FA1D9",
            false,
        ),
        (
            "apt-get install no-such",
            "Reading package lists...\nBuilding dependency tree...\nE: Unable to locate package no-such\n",
            "E: Unable to locate package no-such",
            false,
        ),
        (
            "dpkg --configure, a script that fails",
            "Setting up hello (1) ...\n/var/lib/dpkg/info/hello.postinst: 3: frobnicate: not found\ndpkg: error processing package hello (--configure):\n installed hello package post-installation script subprocess returned error exit status 127\nErrors were encountered while processing:\n hello\n",
            "/var/lib/dpkg/info/hello.postinst: 3: frobnicate: not found",
            false,
        ),
        (
            "dpkg --unpack, two packages with one file",
            "dpkg: error processing archive b.deb (--unpack):\n trying to overwrite '/usr/bin/x', which is also in package a 1\nErrors were encountered while processing:\n b.deb\n",
            "trying to overwrite '/usr/bin/x', which is also in package a 1",
            false,
        ),
        (
            "mksquashfs of a folder that is not there",
            "Cannot stat source directory \"src\" because No such file or directory\n",
            "Cannot stat source directory \"src\" because No such file or directory",
            false,
        ),
        (
            "mkinitramfs without modules",
            "W: missing /lib/modules/6.1.0-1-amd64\nW: Ensure all necessary drivers are built into the linux image!\ndepmod: ERROR: could not open directory /lib/modules/6.1.0-1-amd64: No such file or directory\ndepmod: FATAL: could not search modules: No such file or directory\n",
            "depmod: ERROR: could not open directory /lib/modules/6.1.0-1-amd64: No such file or directory",
            false,
        ),
        (
            "qemu-system-x86_64 -m 900G",
            "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory\n",
            "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
            false,
        ),
        (
            "a kernel on a serial console",
            "[    1.2] VFS: Cannot open root device\n[    1.3] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n[    1.3] ---[ end Kernel panic - not syncing ]---\n",
            "[    1.3] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            false,
        ),
        ("a tool that says nothing telling", "starting\n\n  done nothing  \n", "done nothing", false),
        (
            "a tool that only echoes",
            "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
            "E: Sub-process /usr/bin/dpkg returned an error code (1)",
            false,
        ),
    ];

    #[test]
    fn the_line_that_decides_is_found() {
        for (tool, text, expected, full) in SAMPLES {
            assert_eq!(line(text), Some(expected), "{tool}");
            assert_eq!(says_disk_full(text), full, "{tool}");
        }
        assert_eq!(line(" \n\n"), None);
        println!("{} logs, each with its deciding line", SAMPLES.len());
    }

    #[test]
    fn a_long_log_hides_nothing() {
        let noise = "copying a file\n".repeat(20_000);
        let text = format!("{noise}cp: error writing 'x': No space left on device\n{noise}E: failed\n");
        assert_eq!(line(&text), Some("cp: error writing 'x': No space left on device"));
    }
}
