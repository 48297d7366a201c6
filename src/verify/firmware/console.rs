//! What is said to an OpenWrt on its serial console: woken, waited for until its first boot is done,
//! asked, started again, and asked once more who it is.
//!
//! ```text
//! Booting ─prompt─▶ Starting ─init complete─▶ Asking ─▶ Rebooting ─reset─▶ Booting ─prompt─▶ Starting ─▶ passed
//! ```
//! There is no program of ours in it: every question is a line for its shell, every answer stands between
//! two lines with a nonce, with its SHA-256 behind it. The kernel may write into the midst of an answer,
//! which is then asked for again.
//!
//! Words: procd's `- init complete -`, and busybox' `askfirst` (package/system/procd, busybox init).

use crate::model::Digest;
use crate::model::evidence::Verdict;
use crate::model::probe::Nonce;
use crate::verify::Judgement;
use crate::verify::dialogue::{Action, Dialogue, Input};
use std::time::Duration;

/// How long a system may take until its console can be used.
const BOOT_LIMIT: Duration = Duration::from_mins(10);
/// How long it may go on with its start then.
const START_LIMIT: Duration = Duration::from_mins(5);
/// How long an answer may take, and how often one is asked for.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const TRIES: u32 = 4;
/// How long a reboot may take to reset the machine.
const STOP_LIMIT: Duration = Duration::from_mins(3);
/// One reset can be told twice.
const SAME_RESET: Duration = Duration::from_secs(3);
/// A console that says nothing gets a key after this.
const NUDGE: Duration = Duration::from_secs(20);
/// How often it is asked whether it has started.
const STATE_EVERY: Duration = Duration::from_secs(2);
/// How long it is left alone when it has.
const DWELL: Duration = Duration::from_secs(5);
/// So long a machine may sit at a prompt of a boot loader.
const STUCK_LIMIT: Duration = Duration::from_secs(8);
/// No answer is longer, in bytes.
const LONGEST: usize = 4 << 20;

/// What the console says while nobody uses it.
const WAKE: &str = "Please press Enter to activate this console";
/// Where an answer is put together. It is gone with the power.
const DRAFT: &str = "/tmp/.asked";
/// Whether the start is over, and nothing else, so that it can be asked often. The kernel's words are
/// kept from the line meanwhile.
const STARTED: &str = "dmesg -n 1; { dmesg; logread; } 2>/dev/null | grep -c -e '- init complete -'";

/// Judges the answers to all questions, in their order.
type Judge<'a> = Box<dyn Fn(&[String]) -> Judgement + 'a>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until there is a prompt.
    Booting,
    /// Until its init says that all is started.
    Starting,
    Dwelling,
    /// The question that is open.
    Asking(usize),
    Rebooting,
    Over,
}

/// One boot of a firmware, and one after that.
pub(super) struct Console<'a> {
    /// Commands of the shell.
    questions: &'a [&'a str],
    judge: Judge<'a>,
    nonce: Nonce,
    stage: Stage,
    since: Duration,
    again: bool,
    /// What was last pressed or asked, and how often.
    asked: Duration,
    tries: u32,
    /// Counts questions, so that no two have the same marks.
    count: u32,
    answers: Vec<String>,
    /// The line that has not ended.
    line: Vec<u8>,
    /// The lines since the first mark of the open question.
    heard: Option<String>,
    logged_in: bool,
    woken: bool,
    kernel: bool,
    hurried: bool,
    stuck_since: Option<Duration>,
    findings: Vec<String>,
    timings: Vec<(String, u64)>,
}

impl std::fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<'a> Console<'a> {
    /// Asks `questions`; `judge` gets their answers.
    pub(super) fn new(
        questions: &'a [&'a str],
        nonce: Nonce,
        judge: impl Fn(&[String]) -> Judgement + 'a,
    ) -> Self {
        Self {
            questions,
            judge: Box::new(judge),
            nonce,
            stage: Stage::Booting,
            since: Duration::ZERO,
            again: false,
            asked: Duration::ZERO,
            tries: 0,
            count: 0,
            answers: Vec::new(),
            line: Vec::new(),
            heard: None,
            logged_in: false,
            woken: false,
            kernel: false,
            hurried: false,
            stuck_since: None,
            findings: Vec::new(),
            timings: Vec::new(),
        }
    }

    fn mark(&mut self, now: Duration, name: &str) {
        let name = if self.again { format!("reboot: {name}") } else { name.to_owned() };
        self.timings.push((name, u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
    }

    fn enter(&mut self, stage: Stage, now: Duration) {
        self.stage = stage;
        self.since = now;
        self.tries = 0;
    }

    fn finish(&mut self, verdict: Verdict) -> Vec<Action> {
        self.stage = Stage::Over;
        vec![Action::Finish(verdict)]
    }

    fn refuse(&mut self, reason: impl Into<String>) -> Vec<Action> {
        self.finish(Verdict::Refused { reasons: vec![reason.into()] })
    }

    fn hang(&mut self, last: impl Into<String>) -> Vec<Action> {
        self.finish(Verdict::Hang { last: last.into() })
    }

    fn press(&mut self, now: Duration, keys: &str) -> Vec<Action> {
        self.asked = now;
        vec![Action::Type(keys.to_owned())]
    }

    /// The marks of the open question. As they are typed they have quotes in them: what the console
    /// echoes is none.
    fn marks(&self) -> (String, String) {
        let of = |end: &str| format!("BW{}-{}-{end}", self.nonce, self.count);
        (of("begin"), of("end"))
    }

    fn ask(&mut self, now: Duration) -> Vec<Action> {
        let command = match self.stage {
            Stage::Asking(at) => self.questions[at],
            _ => STARTED,
        };
        self.count += 1;
        self.tries += 1;
        self.heard = None;
        let mark = |end: &str| format!("\"B\"\"W{}-{}-{end}\"", self.nonce, self.count);
        let (begin, end) = (mark("begin"), mark("end"));
        let keys = format!(
            "{{ {command}; }} >{DRAFT} 2>&1; echo {begin}; cat {DRAFT}; echo; echo {end} $(sha256sum <{DRAFT})\n"
        );
        self.press(now, &keys)
    }

    /// Takes a whole line.
    fn end_line(&mut self, now: Duration, line: &[u8]) -> Vec<Action> {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        let (begin, end) = self.marks();
        match self.stage {
            Stage::Booting if line.contains(WAKE) && !std::mem::replace(&mut self.woken, true) => {
                self.mark(now, "console");
                self.press(now, "\n")
            }
            Stage::Starting | Stage::Asking(_) => {
                // The mark may stand behind what the shell echoes.
                if line.ends_with(&begin) {
                    self.heard = Some(String::new());
                    return Vec::new();
                }
                if let Some(at) = line.find(&end) {
                    let sum = line[at + end.len()..].trim();
                    let sum = sum.split(' ').next().unwrap_or_default().to_owned();
                    return self.answer(now, &sum);
                }
                let Some(heard) = &mut self.heard else { return Vec::new() };
                heard.push_str(&line);
                heard.push('\n');
                if heard.len() > LONGEST {
                    return self.refuse("it answers without end");
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn answer(&mut self, now: Duration, sum: &str) -> Vec<Action> {
        let Some(mut answer) = self.heard.take() else { return Vec::new() };
        // The line feed that was put behind it.
        answer.pop();
        if Digest::of(&answer).hex() != sum {
            return if self.tries < TRIES {
                self.ask(now)
            } else {
                self.refuse("its answers on the serial console arrive damaged")
            };
        }
        match self.stage {
            Stage::Starting if answer.trim() == "0" => {
                // Asked again when some time has passed.
                self.tries = 0;
                Vec::new()
            }
            Stage::Starting => {
                self.mark(now, "init-complete");
                self.enter(Stage::Dwelling, now);
                Vec::new()
            }
            Stage::Asking(at) => {
                self.answers.push(answer);
                self.enter(Stage::Asking(at + 1), now);
                if at + 1 < self.questions.len() { self.ask(now) } else { self.judged(now) }
            }
            _ => Vec::new(),
        }
    }

    fn judged(&mut self, now: Duration) -> Vec<Action> {
        self.mark(now, "answers");
        let judgement = (self.judge)(&self.answers);
        self.findings.extend(judgement.findings);
        if !judgement.reasons.is_empty() {
            return self.finish(Verdict::Refused { reasons: judgement.reasons });
        }
        self.enter(Stage::Rebooting, now);
        self.press(now, "reboot\n")
    }

    /// A prompt has no line feed behind it.
    fn prompt(&mut self, now: Duration) -> Vec<Action> {
        let line = plain(&self.line);
        let line = line.trim_end();
        if self.stage != Stage::Booting || !self.woken {
            return Vec::new();
        }
        if line.ends_with('#') {
            self.mark(now, "prompt");
            self.enter(Stage::Starting, now);
            self.line.clear();
            return self.ask(now);
        }
        if line.ends_with("Password:") {
            return self.refuse(
                "its console asks for a password (ttylogin), so that nobody can ask it for its release",
            );
        }
        if line.ends_with(" login:") && !std::mem::replace(&mut self.logged_in, true) {
            self.line.clear();
            return self.press(now, "root\n");
        }
        Vec::new()
    }

    fn reset(&mut self, now: Duration, last: &str) -> Vec<Action> {
        if self.again && now.saturating_sub(self.since) < SAME_RESET {
            return Vec::new();
        }
        if self.stage != Stage::Rebooting {
            self.mark(now, "reset");
            return self.finish(Verdict::Reset { last: last.to_owned() });
        }
        self.mark(now, "reset");
        self.again = true;
        (self.woken, self.kernel, self.logged_in) = (false, false, false);
        self.line.clear();
        self.enter(Stage::Booting, now);
        Vec::new()
    }
}

impl Dialogue for Console<'_> {
    fn take(&mut self, now: Duration, input: Input, last: &str) -> Vec<Action> {
        if self.stage == Stage::Over {
            return Vec::new();
        }
        match input {
            Input::Failed(message) => self.finish(Verdict::MachineFailed { message }),
            Input::Panic(message) => {
                self.mark(now, "panic");
                self.finish(Verdict::Panic { message })
            }
            Input::Reset => self.reset(now, last),
            Input::Shutdown { reason } => {
                self.refuse(format!("it switched itself off ({reason}); last seen: {last}"))
            }
            Input::Port { .. } | Input::Answer(_) => Vec::new(),
            Input::Serial(bytes) => {
                let mut actions = Vec::new();
                for byte in bytes {
                    if byte == b'\n' {
                        let line = std::mem::take(&mut self.line);
                        actions.extend(self.end_line(now, &line));
                    } else if self.line.len() < LONGEST {
                        self.line.push(byte);
                    }
                }
                actions.extend(self.prompt(now));
                actions
            }
        }
    }

    fn tick(&mut self, now: Duration, last: &str, stuck: Option<&str>) -> Vec<Action> {
        let (waited, quiet) = (now.saturating_sub(self.since), now.saturating_sub(self.asked));
        match self.stage {
            Stage::Booting => {
                self.stuck_since = stuck.and(self.stuck_since.or(Some(now)));
                if let (Some(why), Some(since)) = (stuck, self.stuck_since)
                    && now.saturating_sub(since) >= STUCK_LIMIT
                {
                    return self.hang(format!("{last}: {why}"));
                }
                if waited >= BOOT_LIMIT {
                    return self.hang(last);
                }
                // Its words may have been lost among the kernel's. A boot loader is left alone.
                if self.kernel && quiet >= NUDGE {
                    self.woken = true;
                    return self.press(now, "\n");
                }
                Vec::new()
            }
            Stage::Starting if waited >= START_LIMIT => {
                self.hang("the console: procd never says that its init is complete")
            }
            Stage::Starting if self.tries == 0 && quiet >= STATE_EVERY => self.ask(now),
            Stage::Starting | Stage::Asking(_) if quiet >= ANSWER_LIMIT => {
                if self.tries < TRIES {
                    self.ask(now)
                } else {
                    self.hang("a question: the console no longer answers")
                }
            }
            Stage::Dwelling if waited >= DWELL && !self.again => {
                self.enter(Stage::Asking(0), now);
                let mut actions = vec![Action::Screenshot];
                actions.extend(self.ask(now));
                actions
            }
            Stage::Dwelling if waited >= DWELL => self.finish(Verdict::Passed),
            Stage::Rebooting if waited >= STOP_LIMIT => {
                self.hang(format!("the reboot was asked for, then {last}"))
            }
            _ => Vec::new(),
        }
    }

    fn milestone(&mut self, now: Duration, name: &str) {
        self.kernel |= name == "kernel";
        self.mark(now, name);
    }

    fn hurries(&mut self) -> bool {
        self.again && !std::mem::replace(&mut self.hurried, true)
    }

    fn into_record(self: Box<Self>) -> (Vec<String>, Vec<(String, u64)>) {
        (self.findings, self.timings)
    }
}

/// A line without control sequences (ECMA-48): busybox ends its prompt with a question to the terminal.
fn plain(line: &[u8]) -> String {
    let (mut text, mut control) = (String::new(), false);
    for &byte in line {
        match byte {
            0x1b => control = true,
            0x40..=0x7e if control => control = byte == b'[',
            0x20..=0x7e if !control => text.push(char::from(byte)),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests;
