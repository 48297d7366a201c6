//! The serial line of a booting machine: how far it came, and a log that people can read.
//!
//! Everything here is written by the guest. Control sequences are taken out, lines and the
//! whole log are bounded: a guest that floods the line fills neither disk nor memory.

use std::collections::VecDeque;
use std::fmt;

/// Lines are cut here, in bytes.
const LONGEST_LINE: usize = 2048;
/// Bytes of the log that are kept from its beginning, and as many from its end.
const KEPT: usize = 512 << 10;

/// How far a boot came, as the serial line tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// Nothing was said yet.
    PowerOn,
    /// UEFI or BIOS.
    Firmware,
    /// The boot loader.
    Grub,
    /// Linux.
    Kernel,
    /// The initramfs.
    Initramfs,
    /// The image's own init.
    Systemd,
    /// A login prompt.
    Login,
}

impl Milestone {
    /// The name in timings and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerOn => "power-on",
            Self::Firmware => "firmware",
            Self::Grub => "grub",
            Self::Kernel => "kernel",
            Self::Initramfs => "initramfs",
            Self::Systemd => "systemd",
            Self::Login => "login",
        }
    }

    /// The milestone that a line shows, from the words of OVMF, SeaBIOS, GRUB, Linux,
    /// initramfs-tools, systemd and agetty.
    fn shown_by(line: &str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|w| line.contains(w));
        if line.trim_end().ends_with(" login:") || line.contains(" login: ") {
            Some(Self::Login)
        } else if has(&["systemd[1]: ", "[  OK  ]", "[FAILED]"]) || (has(&["Welcome to "]) && !has(&["GRUB"]))
        {
            Some(Self::Systemd)
        } else if has(&["Loading, please wait...", "Begin: ", "Run /init as init process", "(initramfs)"]) {
            Some(Self::Initramfs)
        } else if has(&["Linux version ", "EFI stub: "]) || kernel_time(line).is_some() {
            Some(Self::Kernel)
        } else if has(&["GNU GRUB", "Welcome to GRUB", "Booting `", "GRUB loading", "grub>", "grub rescue>"])
        {
            Some(Self::Grub)
        } else if has(&["BdsDxe: ", "SeaBIOS", "UEFI ", "iPXE"]) {
            Some(Self::Firmware)
        } else {
            None
        }
    }
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What follows a kernel line's time stamp: `[    1.234567] text`.
fn kernel_time(line: &str) -> Option<&str> {
    let (stamp, text) = line.strip_prefix('[')?.split_once("] ")?;
    let (seconds, fraction) = stamp.trim_start().split_once('.')?;
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    (digits(seconds) && fraction.len() == 6 && digits(fraction)).then_some(text)
}

/// The kernel's words, if this line is its panic and not a quotation of one.
fn panic_words(line: &str) -> Option<&str> {
    let text = kernel_time(line).unwrap_or(line);
    text.strip_prefix("Kernel panic - not syncing: ").map(str::trim_end)
}

/// Prompts at which a machine waits for a person who is not there.
const STUCK: [(&str, &str); 5] = [
    ("(initramfs)", "the initramfs found no root file system and opened its shell"),
    ("grub>", "GRUB found no menu and opened its prompt"),
    ("grub rescue>", "GRUB found none of its modules and opened its rescue prompt"),
    ("Shell>", "the firmware found nothing to boot and opened its shell"),
    ("(or press Control-D to continue):", "systemd gave up and asks for the root password"),
];

/// Something that the line told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A milestone was reached for the first time in this boot.
    Milestone(Milestone),
    /// The kernel panicked; its words.
    Panic(String),
    /// One readable line.
    Line(String),
}

/// Reads the serial line.
#[derive(Debug)]
pub struct Serial {
    cleaner: Cleaner,
    line: String,
    reached: Milestone,
    last_words: String,
    log: Log,
}

impl Default for Serial {
    fn default() -> Self {
        Self {
            cleaner: Cleaner::Text,
            line: String::new(),
            reached: Milestone::PowerOn,
            last_words: String::new(),
            log: Log::default(),
        }
    }
}

impl Serial {
    /// Takes more bytes in and says what they show.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        for &byte in bytes {
            match self.cleaner.take(byte) {
                Some('\n') => self.end_line(&mut seen),
                Some(c) if self.line.len() < LONGEST_LINE => self.line.push(c),
                _ => {}
            }
        }
        // A prompt ends without a line feed; half of any other line proves nothing yet
        // (`Welcome to ` may go on with `GRUB!`).
        let prompt = self.line.trim_end().ends_with(" login:") || self.stuck().is_some();
        if let Some(milestone) = self.step(&self.line).filter(|_| prompt) {
            seen.push(Seen::Milestone(milestone));
            self.reached = milestone;
        }
        seen
    }

    fn end_line(&mut self, seen: &mut Vec<Seen>) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        if let Some(milestone) = self.step(line) {
            seen.push(Seen::Milestone(milestone));
            self.reached = milestone;
        }
        if let Some(words) = panic_words(line) {
            seen.push(Seen::Panic(words.to_owned()));
        }
        self.last_words = line.to_owned();
        self.log.push(line);
        seen.push(Seen::Line(line.to_owned()));
    }

    fn step(&self, line: &str) -> Option<Milestone> {
        Milestone::shown_by(line).filter(|m| *m > self.reached)
    }

    /// The machine was reset: milestones count from the start again.
    pub fn restart(&mut self) {
        self.end_line(&mut Vec::new());
        self.reached = Milestone::PowerOn;
        self.last_words.clear();
        self.log.push("---- the machine was reset ----");
    }

    /// How far it came, with the last thing it said.
    pub fn last(&self) -> String {
        let words = if self.line.trim().is_empty() { self.last_words.trim() } else { self.line.trim() };
        let words: String = words.chars().take(160).collect();
        if words.is_empty() { self.reached.to_string() } else { format!("{} ({words})", self.reached) }
    }

    /// Why it will never go on, if it waits at a prompt for a person.
    pub fn stuck(&self) -> Option<&'static str> {
        let line = self.line.trim_end();
        STUCK
            .iter()
            .find(|(prompt, _)| line.trim_start() == *prompt || line.ends_with(&format!(" {prompt}")))
            .map(|(_, why)| *why)
    }

    /// The whole log, with a word on what was left out.
    pub fn into_log(mut self) -> String {
        self.end_line(&mut Vec::new());
        self.log.into_text()
    }
}

/// The beginning and the end of a long text.
#[derive(Debug, Default)]
struct Log {
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: u64,
}

impl Log {
    fn push(&mut self, line: &str) {
        if self.tail.is_empty() && self.head.len() + line.len() < KEPT {
            self.head.push_str(line);
            self.head.push('\n');
            return;
        }
        self.tail_bytes += line.len() + 1;
        self.tail.push_back(line.to_owned());
        while self.tail_bytes > KEPT {
            let Some(gone) = self.tail.pop_front() else { break };
            self.tail_bytes -= gone.len() + 1;
            self.left_out += 1;
        }
    }

    fn into_text(self) -> String {
        let mut text = self.head;
        if self.left_out > 0 {
            text.push_str(&format!("---- {} lines left out ----\n", self.left_out));
        }
        for line in self.tail {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Takes terminal control (ECMA-48) out of a stream, byte by byte, wherever it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleaner {
    Text,
    /// After ESC.
    Escape,
    /// Inside `ESC [ … letter`.
    Csi,
    /// Inside a string command, which BEL or ESC \ ends.
    String,
}

impl Cleaner {
    fn take(&mut self, byte: u8) -> Option<char> {
        let (next, out) = match (*self, byte) {
            (Self::String, 0x07) => (Self::Text, None),
            (_, 0x1b) => (Self::Escape, None),
            (Self::Escape, b'[') => (Self::Csi, None),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (Self::String, None),
            (Self::Escape, 0x20..=0x2f) => (Self::Escape, None),
            (Self::Escape, _) => (Self::Text, None),
            // A cursor that is put somewhere else begins another line, or GRUB's menu and
            // what comes after it would be one line.
            (Self::Csi, b'H' | b'f' | b'J') => (Self::Text, Some('\n')),
            (Self::Csi, 0x40..=0x7e) => (Self::Text, None),
            (Self::Csi, _) => (Self::Csi, None),
            (Self::String, b'\n') => (Self::Text, Some('\n')),
            (Self::String, _) => (Self::String, None),
            (Self::Text, b'\n') => (Self::Text, Some('\n')),
            (Self::Text, b'\t') => (Self::Text, Some(' ')),
            (Self::Text, 0x20..=0x7e) => (Self::Text, Some(char::from(byte))),
            // Not a byte of ASCII: boxes of menus, or noise of a wrong baud rate.
            (Self::Text, 0x80..) => (Self::Text, Some('.')),
            (Self::Text, _) => (Self::Text, None),
        };
        *self = next;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milestones(text: &str) -> Vec<Milestone> {
        let mut serial = Serial::default();
        serial
            .push(text.as_bytes())
            .into_iter()
            .filter_map(|s| match s {
                Seen::Milestone(m) => Some(m),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_boot_is_followed() {
        use Milestone::{Firmware, Grub, Initramfs, Kernel, Login, Systemd};
        let text = "BdsDxe: starting Boot0001\r\n\x1b[0m\x1b[37mWelcome to GRUB!\r\n  Booting `live'\r\n\
                    [    0.000000] Linux version 6.1.0\r\nLoading, please wait...\r\nBegin: Mounting root\r\n\
                    Welcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!\r\n[\x1b[0;32m  OK  \x1b[0m] Started ssh\r\nlivebox login: ";
        assert_eq!(milestones(text), [Firmware, Grub, Kernel, Initramfs, Systemd, Login]);
        for size in 1..40 {
            let mut serial = Serial::default();
            let seen = text.as_bytes().chunks(size).flat_map(|c| serial.push(c));
            assert_eq!(seen.filter(|s| matches!(s, Seen::Milestone(_))).count(), 6, "in pieces of {size}");
        }
    }

    #[test]
    fn control_sequences_go_wherever_they_are_cut() {
        let text = b"a\x1b[1;31mb\x1b]0;title\x07c\x1b(Bd\x08\x00\te\xe2\x94\n";
        for size in 1..text.len() {
            let mut serial = Serial::default();
            text.chunks(size).for_each(|c| drop(serial.push(c)));
            assert_eq!(serial.into_log(), "abcd e..\n");
        }
    }

    #[test]
    fn a_panic_is_one_only_in_the_kernels_own_words() {
        let panics =
            |text: &str| Serial::default().push(text.as_bytes()).iter().any(|s| matches!(s, Seen::Panic(_)));
        assert!(panics("[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs\n"));
        assert!(panics("Kernel panic - not syncing: sysrq triggered crash\n"));
        assert!(!panics("foo[12]: read about Kernel panic - not syncing: x\n"));
        assert!(!panics("[  OK  ] Kernel panic - not syncing: x\n"));
    }

    #[test]
    fn prompts_without_a_person() {
        for (text, stuck) in [
            ("Spawning shell within the initramfs\n(initramfs) ", true),
            ("error: no such device\ngrub rescue> ", true),
            ("(initramfs) done\n", false),
            ("livebox login: ", false),
        ] {
            let mut serial = Serial::default();
            serial.push(text.as_bytes());
            assert_eq!(serial.stuck().is_some(), stuck, "{text}");
        }
    }

    #[test]
    fn last_words_and_restart() {
        let mut serial = Serial::default();
        assert_eq!(serial.last(), "power-on");
        serial.push(b"BdsDxe: failed to load Boot0001: Access Denied\n\n");
        assert_eq!(serial.last(), "firmware (BdsDxe: failed to load Boot0001: Access Denied)");
        serial.restart();
        assert_eq!(serial.last(), "power-on");
        assert_eq!(serial.push(b"BdsDxe: x\n")[0], Seen::Milestone(Milestone::Firmware));
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut serial = Serial::default();
        let line = format!("{}\n", "x".repeat(5000));
        for _ in 0..2000 {
            serial.push(line.as_bytes());
        }
        serial.push(b"the end");
        let log = serial.into_log();
        assert!(log.len() < 2 * KEPT + 4096 && log.contains("lines left out") && log.ends_with("the end\n"));
    }
}
