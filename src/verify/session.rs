//! The course of one verification, as a state machine without effects: what happens goes
//! in with its time, what shall be done comes out.
//!
//! ```text
//! Booting ─hello─▶ Dwelling ─▶ Checking ─▶ Rebooting ─reset─▶ BootingAgain ─hello─▶ PoweringOff ─▶ passed
//! ```
//! Everything that is not the next step of this line is an end: a panic, a reset that
//! nobody asked for, silence, a wrong answer.

use super::declared::Declared;
use super::dialogue::{Action, Dialogue, Input};
use super::judge::{self, Judgement};
use crate::model::Digest;
use crate::model::check::Check;
use crate::model::evidence::Verdict;
use crate::model::probe::{self, Answer, Nonce, Verb};
use crate::model::spec::{BootMode, Verify};
use std::time::Duration;

/// How long the guest may take to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
/// So much longer for each thing that is looked at.
const EACH_LIMIT: Duration = Duration::from_secs(2);
/// How long a clean reboot or power-off may take: systemd gives a unit 90 s to stop.
const STOP_LIMIT: Duration = Duration::from_secs(150);
/// A question that got no answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// While a service is still starting the system is asked this often.
const STATE_EVERY: Duration = Duration::from_secs(2);
/// What has become right only later is looked at once more after this.
const SETTLING: Duration = Duration::from_secs(10);
/// One reset can be told twice: the processors go on for a moment and ask once more.
const SAME_RESET: Duration = Duration::from_secs(3);
/// So long a machine may sit at a prompt before it is given up.
const STUCK_LIMIT: Duration = Duration::from_secs(8);

/// What the image has to show.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// Who it is.
    pub build_id: &'a Digest,
    /// How it is started.
    pub mode: BootMode,
    /// What the spec asks for.
    pub wish: &'a Verify,
    /// What its settings have to show.
    pub checks: &'a [Check],
    /// Whether it is a live medium.
    pub live: bool,
    /// One for each of the two boots.
    pub nonces: [Nonce; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Booting,
    Dwelling,
    Checking,
    Rebooting,
    BootingAgain,
    PoweringOff,
    Over,
}

/// One verification.
#[derive(Debug)]
pub struct Session<'a> {
    expected: Expected<'a>,
    stage: Stage,
    /// When the stage began.
    since: Duration,
    /// When the last question was asked, if it has not been answered.
    asked: Option<Duration>,
    /// Not before this is systemd asked again whether it is done.
    ask_after: Duration,
    /// Whether something was not yet as declared when it was last looked at.
    unsettled: bool,
    port_open: bool,
    boot_id: Option<String>,
    strangers: usize,
    /// Whether the boot loader's menu was cut short.
    hurried: bool,
    stuck_since: Option<Duration>,
    findings: Vec<String>,
    timings: Vec<(String, u64)>,
}

impl<'a> Session<'a> {
    /// The verification of a machine that is powered on at time zero.
    pub fn new(expected: Expected<'a>) -> Self {
        Self {
            expected,
            stage: Stage::Booting,
            since: Duration::ZERO,
            asked: None,
            ask_after: Duration::ZERO,
            unsettled: false,
            port_open: false,
            boot_id: None,
            strangers: 0,
            hurried: false,
            stuck_since: None,
            findings: Vec::new(),
            timings: Vec::new(),
        }
    }
}

impl Dialogue for Session<'_> {
    fn milestone(&mut self, now: Duration, name: &str) {
        let again = matches!(self.stage, Stage::BootingAgain | Stage::PoweringOff);
        self.mark(now, &if again { format!("reboot: {name}") } else { name.to_owned() });
    }

    fn hurries(&mut self) -> bool {
        self.stage == Stage::BootingAgain && !std::mem::replace(&mut self.hurried, true)
    }

    fn into_record(self: Box<Self>) -> (Vec<String>, Vec<(String, u64)>) {
        (self.findings, self.timings)
    }

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
            Input::Shutdown { reason } => self.shutdown(now, &reason, last),
            Input::Port { open } => {
                self.port_open = open;
                if open { self.say_hello(now) } else { Vec::new() }
            }
            Input::Answer(answer) => self.answer(now, &answer),
            Input::Serial(_) => Vec::new(),
        }
    }

    fn tick(&mut self, now: Duration, last: &str, stuck: Option<&str>) -> Vec<Action> {
        let timeout = Duration::from_secs(self.expected.wish.timeout_seconds.into());
        let waited = now.saturating_sub(self.since);
        match self.stage {
            Stage::Booting | Stage::BootingAgain => {
                if let Some(why) = self.stuck(now, stuck) {
                    return self.finish(Verdict::Hang { last: format!("{last}: {why}") });
                }
                if waited >= timeout {
                    return self.silence(last);
                }
                match self.asked {
                    Some(asked) if self.port_open && now.saturating_sub(asked) >= ASK_AGAIN => {
                        self.say_hello(now)
                    }
                    _ => Vec::new(),
                }
            }
            Stage::Dwelling => {
                if waited < Duration::from_secs(self.expected.wish.dwell_seconds.into()) {
                    return Vec::new();
                }
                self.mark(now, "dwell");
                self.enter(Stage::Checking, now);
                let mut actions = vec![Action::Screenshot];
                actions.extend(self.ask_check(now));
                actions
            }
            Stage::Checking => {
                match self.asked {
                    Some(asked) if now.saturating_sub(asked) >= self.answer_limit() => self
                        .finish(Verdict::Hang { last: "the check: the image no longer answers".to_owned() }),
                    None if waited >= timeout => self
                        .finish(Verdict::Hang { last: "the check: services are still starting".to_owned() }),
                    None if now >= self.ask_after => self.ask_check(now),
                    _ => Vec::new(),
                }
            }
            Stage::Rebooting if waited >= STOP_LIMIT => {
                self.finish(Verdict::Hang { last: format!("the clean reboot was asked for, then {last}") })
            }
            Stage::PoweringOff if waited >= STOP_LIMIT => {
                self.finish(Verdict::Hang { last: format!("the clean power-off was asked for, then {last}") })
            }
            _ => Vec::new(),
        }
    }
}

impl Session<'_> {
    fn answer_limit(&self) -> Duration {
        let checks = u32::try_from(self.expected.checks.len()).unwrap_or(u32::MAX);
        ANSWER_LIMIT.saturating_add(EACH_LIMIT.saturating_mul(checks))
    }

    fn mark(&mut self, now: Duration, name: &str) {
        self.timings.push((name.to_owned(), u64::try_from(now.as_millis()).unwrap_or(u64::MAX)));
    }

    fn enter(&mut self, stage: Stage, now: Duration) {
        self.stage = stage;
        self.since = now;
        self.asked = None;
        self.stuck_since = None;
    }

    fn finish(&mut self, verdict: Verdict) -> Vec<Action> {
        self.stage = Stage::Over;
        vec![Action::Finish(verdict)]
    }

    fn refuse(&mut self, reasons: Vec<String>) -> Vec<Action> {
        self.finish(Verdict::Refused { reasons })
    }

    /// The nonce of the boot that is going on.
    fn nonce(&self) -> &Nonce {
        let second = matches!(self.stage, Stage::BootingAgain | Stage::PoweringOff);
        &self.expected.nonces[usize::from(second)]
    }

    fn say_hello(&mut self, now: Duration) -> Vec<Action> {
        if !matches!(self.stage, Stage::Booting | Stage::BootingAgain) {
            return Vec::new();
        }
        self.asked = Some(now);
        vec![Action::Say(Verb::Hello.ask(self.nonce()))]
    }

    fn ask_check(&mut self, now: Duration) -> Vec<Action> {
        self.asked = Some(now);
        vec![Action::Say(probe::ask_check(self.nonce(), &self.expected.wish.units))]
    }

    fn answer(&mut self, now: Duration, answer: &Answer) -> Vec<Action> {
        if !answer.answers(self.nonce()) {
            // A recording, or what a boot before this one still had in the pipe.
            self.strangers += 1;
            return Vec::new();
        }
        if !answer.is_from(self.expected.build_id) {
            let image = answer.facts.image.as_deref().unwrap_or("an image without a name");
            let id: String = answer.build_id.chars().take(64).collect();
            return self.refuse(vec![format!(
                "this is {image}, build {id}; build {} was expected",
                self.expected.build_id.hex()
            )]);
        }
        match (self.stage, answer.verb) {
            (Stage::Booting, Verb::Hello) => self.first_hello(now, answer),
            (Stage::BootingAgain, Verb::Hello) => self.second_hello(now, answer),
            (Stage::Checking, Verb::Check) => self.checked(now, answer),
            // Late answers to questions that were asked twice.
            _ => Vec::new(),
        }
    }

    fn first_hello(&mut self, now: Duration, answer: &Answer) -> Vec<Action> {
        self.mark(now, "signal");
        self.findings.push(format!("build id: {}", self.expected.build_id));
        let reasons = self.note(judge::started(&answer.facts, self.expected.mode));
        if !reasons.is_empty() {
            return self.refuse(reasons);
        }
        self.boot_id.clone_from(&answer.facts.boot_id);
        self.enter(Stage::Dwelling, now);
        Vec::new()
    }

    fn checked(&mut self, now: Duration, answer: &Answer) -> Vec<Action> {
        if judge::is_starting(&answer.facts) {
            self.asked = None;
            self.ask_after = now + STATE_EVERY;
            return Vec::new();
        }
        let declared = Declared::judge(self.expected.checks, &answer.facts, self.expected.live);
        let timeout = Duration::from_secs(self.expected.wish.timeout_seconds.into());
        let health = judge::healthy(&answer.facts, self.expected.wish);
        // A service may need seconds until it answers; what failed does not get better.
        if health.reasons.is_empty()
            && declared.may_become_right()
            && (now + STATE_EVERY).saturating_sub(self.since) < timeout
        {
            self.unsettled = true;
            self.asked = None;
            self.ask_after = now + STATE_EVERY;
            return Vec::new();
        }
        // What has only just become right may fall again, and a new window is still empty.
        if health.reasons.is_empty() && declared.is_right() && std::mem::take(&mut self.unsettled) {
            self.asked = None;
            self.ask_after = now + SETTLING;
            return Vec::new();
        }
        self.mark(now, "checked");
        let mut reasons = self.note(health);
        reasons.extend(self.note(declared.judgement()));
        if !reasons.is_empty() {
            self.findings.extend(judge::last_words(&answer.facts));
            return self.refuse(reasons);
        }
        let reboot = Verb::Reboot.ask(self.nonce());
        self.enter(Stage::Rebooting, now);
        // The first picture was taken before anything was looked at: this one shows what passed.
        vec![Action::Screenshot, Action::Say(reboot)]
    }

    fn second_hello(&mut self, now: Duration, answer: &Answer) -> Vec<Action> {
        self.mark(now, "reboot: signal");
        let mut reasons = judge::started(&answer.facts, self.expected.mode).reasons;
        if answer.facts.boot_id == self.boot_id {
            reasons
                .push("its boot id is the same after the reboot: it did not really start again".to_owned());
        }
        if !reasons.is_empty() {
            return self.refuse(reasons);
        }
        self.findings.push("clean reboot: came back with another boot id".to_owned());
        let poweroff = Verb::Poweroff.ask(self.nonce());
        self.enter(Stage::PoweringOff, now);
        vec![Action::Say(poweroff)]
    }

    fn note(&mut self, judgement: Judgement) -> Vec<String> {
        self.findings.extend(judgement.findings);
        judgement.reasons
    }

    fn reset(&mut self, now: Duration, last: &str) -> Vec<Action> {
        if self.stage == Stage::BootingAgain && now.saturating_sub(self.since) < SAME_RESET {
            return Vec::new();
        }
        self.mark(now, "reset");
        self.port_open = false;
        match self.stage {
            Stage::Rebooting => {
                self.enter(Stage::BootingAgain, now);
                Vec::new()
            }
            Stage::PoweringOff => self.refuse(vec!["it restarted when it was asked to power off".to_owned()]),
            Stage::Dwelling | Stage::Checking => {
                self.finish(Verdict::Reset { last: format!("its signal ({last})") })
            }
            _ => self.finish(Verdict::Reset { last: last.to_owned() }),
        }
    }

    fn shutdown(&mut self, now: Duration, reason: &str, last: &str) -> Vec<Action> {
        self.mark(now, "powered off");
        let verdict = match (reason, self.stage) {
            ("guest-shutdown", Stage::PoweringOff) => Verdict::Passed,
            ("guest-shutdown", Stage::Rebooting) => {
                Verdict::Refused { reasons: vec!["it powered off when it was asked to restart".to_owned()] }
            }
            ("guest-shutdown", _) => {
                Verdict::Refused { reasons: vec![format!("it powered itself off after: {last}")] }
            }
            ("guest-panic", _) => {
                Verdict::Panic { message: "the guest reported a panic (pvpanic)".to_owned() }
            }
            (other, _) => Verdict::MachineFailed { message: format!("QEMU stopped the machine: {other}") },
        };
        self.finish(verdict)
    }

    fn stuck<'w>(&mut self, now: Duration, why: Option<&'w str>) -> Option<&'w str> {
        let Some(why) = why else {
            self.stuck_since = None;
            return None;
        };
        let since = *self.stuck_since.get_or_insert(now);
        (now.saturating_sub(since) >= STUCK_LIMIT).then_some(why)
    }

    fn silence(&mut self, last: &str) -> Vec<Action> {
        if self.strangers > 0 {
            return self.refuse(vec![format!(
                "{} answers came, none with the nonce of this boot: a recording, not the image itself",
                self.strangers
            )]);
        }
        let last = if self.stage == Stage::BootingAgain {
            format!("the clean reboot, then {last}")
        } else {
            last.to_owned()
        };
        self.finish(Verdict::Hang { last })
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
