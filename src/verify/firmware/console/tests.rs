//! Every end of the conversation with a console, without a machine.

use super::*;
use crate::effects::{Cancel, Process};

const QUESTIONS: [&str; 2] = ["echo one; printf two", "printf ''"];

struct Course {
    console: Console<'static>,
    now: Duration,
}

/// What the typed keys look like on a terminal, and what a shell answers: the real one.
fn shell(keys: &str, started: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let draft = folder.path().join("asked");
    let count = if started { "1" } else { "0" };
    let command = keys.replace(STARTED, &format!("echo {count}")).replace(DRAFT, draft.to_str().unwrap());
    let output = Process::new("sh").arg("-c").arg(command).run(&Cancel::default()).unwrap();
    format!("{keys}{}root@OpenWrt:~# \x1b[6n", output.text()).replace('\n', "\r\n")
}

fn course() -> Course {
    let judge = |answers: &[String]| {
        let findings = answers.to_vec();
        let reasons = if answers == ["one\ntwo", ""] { Vec::new() } else { vec!["another".to_owned()] };
        Judgement { findings, reasons }
    };
    Course { console: Console::new(&QUESTIONS, Nonce::new([7; 16]), judge), now: Duration::ZERO }
}

impl Course {
    fn hear(&mut self, text: &str) -> Vec<Action> {
        self.take(Input::Serial(text.as_bytes().to_vec()))
    }

    fn take(&mut self, input: Input) -> Vec<Action> {
        self.console.take(self.now, input, "last")
    }

    fn wait(&mut self, seconds: u64) -> Vec<Action> {
        self.now += Duration::from_secs(seconds);
        self.console.tick(self.now, "last", None)
    }

    /// Boots it up to its first question.
    fn boot(&mut self) -> String {
        assert_eq!(self.hear("procd: x\r\nPlease press Enter to activate this console.\r\n"), typed("\n"));
        only_keys(self.hear("\r\nBusyBox\r\n\r\nroot@OpenWrt:/# \x1b[6n"))
    }

    /// Answers until nothing is asked any more.
    fn converse(&mut self, mut keys: String) -> Vec<Action> {
        loop {
            let actions = self.hear(&shell(&keys, true));
            match &actions[..] {
                [Action::Type(next)] if next != "reboot\n" => keys.clone_from(next),
                _ => return actions,
            }
        }
    }

    fn first_boot(&mut self) -> Vec<Action> {
        let keys = self.boot();
        assert_eq!(self.converse(keys), []);
        let mut actions = self.wait(6);
        assert_eq!(actions.remove(0), Action::Screenshot);
        self.converse(only_keys(actions))
    }
}

fn typed(keys: &str) -> Vec<Action> {
    vec![Action::Type(keys.to_owned())]
}

fn only_keys(actions: Vec<Action>) -> String {
    match &actions[..] {
        [Action::Type(keys)] => keys.clone(),
        other => panic!("{other:?}"),
    }
}

fn refused(actions: &[Action], words: &str) {
    let [Action::Finish(Verdict::Refused { reasons })] = actions else { panic!("{actions:?}") };
    assert!(reasons.iter().any(|reason| reason.contains(words)), "{words}: {reasons:?}");
}

#[test]
fn a_system_passes_when_it_answered_and_came_up_again() {
    let mut course = course();
    assert_eq!(course.first_boot(), typed("reboot\n"));
    assert_eq!(course.take(Input::Reset), []);
    let keys = course.boot();
    assert_eq!(course.converse(keys), []);
    assert_eq!(course.wait(6), [Action::Finish(Verdict::Passed)]);
    let (findings, timings) = Box::new(course.console).into_record();
    assert_eq!(findings, ["one\ntwo", ""]);
    let names: Vec<&str> = timings.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..4], ["console", "prompt", "init-complete", "answers"]);
    assert!(names.contains(&"reboot: init-complete"), "{names:?}");
}

#[test]
fn a_start_that_goes_on_is_waited_for_and_not_for_ever() {
    let mut course = course();
    let keys = course.boot();
    assert_eq!(course.hear(&shell(&keys, false)), []);
    assert_eq!(course.wait(1), []);
    let again = only_keys(course.wait(1));
    assert_ne!(keys, again, "a late answer is no answer");
    assert_eq!(course.hear(&shell(&keys, true)), [], "an old answer");
    assert_eq!(course.hear(&shell(&again, true)), []);
    assert!(matches!(&course.wait(6)[..], [Action::Screenshot, Action::Type(_)]));
    let mut course = self::course();
    course.boot();
    let [Action::Finish(Verdict::Hang { last })] = &course.wait(301)[..] else { panic!("no end") };
    assert!(last.contains("init is complete"), "{last}");
}

#[test]
fn an_answer_with_foreign_words_in_it_is_asked_for_again() {
    let mut course = course();
    let mut keys = course.boot();
    for _ in 0..3 {
        let said = shell(&keys, true).replace("1\r\n", "1[   9.1] br-lan: up\r\n");
        keys = only_keys(course.hear(&said));
    }
    let said = shell(&keys, true).replace("1\r\n", "1[   9.1] br-lan: up\r\n");
    refused(&course.hear(&said), "damaged");
}

#[test]
fn what_is_wrong_is_refused_by_its_name() {
    let mut course = course();
    let keys = course.boot();
    course.converse(keys);
    let keys = only_keys(course.wait(6).split_off(1)).replace("echo one", "echo 1ne");
    refused(&course.converse(keys), "another");
    // It asks who is there, and then for a password.
    let mut course = self::course();
    course.hear("Please press Enter to activate this console.\r\n");
    assert_eq!(course.hear("\r\nOpenWrt login: "), typed("root\n"));
    refused(&course.hear("root\r\nPassword: "), "ttylogin");
    let mut course = self::course();
    course.boot();
    refused(&course.take(Input::Shutdown { reason: "guest-shutdown".to_owned() }), "switched itself off");
}

#[test]
fn resets_panics_and_silence_are_ends() {
    let end = |actions: Vec<Action>| match actions.into_iter().next() {
        Some(Action::Finish(verdict)) => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(end(course().take(Input::Reset)), Verdict::Reset { last: "last".to_owned() });
    let panic = Verdict::Panic { message: "x".to_owned() };
    assert_eq!(end(course().take(Input::Panic("x".to_owned()))), panic);
    assert!(matches!(end(course().wait(601)), Verdict::Hang { .. }));
    // A console whose words were lost gets a key, once there is a kernel.
    let mut course = course();
    assert_eq!(course.wait(30), []);
    course.console.milestone(course.now, "kernel");
    assert_eq!(course.wait(20), typed("\n"));
    assert!(matches!(&course.hear("root@OpenWrt:/# ")[..], [Action::Type(_)]));
    // Nobody answers any more.
    for _ in 0..3 {
        assert!(matches!(&course.wait(60)[..], [Action::Type(_)]));
    }
    assert!(matches!(end(course.wait(60)), Verdict::Hang { .. }));
    // A reboot that never comes; one that is told twice.
    let mut course = self::course();
    course.first_boot();
    assert!(matches!(end(course.wait(181)), Verdict::Hang { .. }));
    let mut course = self::course();
    course.first_boot();
    course.take(Input::Reset);
    assert_eq!(course.take(Input::Reset), []);
    course.now += Duration::from_secs(5);
    assert!(matches!(end(course.take(Input::Reset)), Verdict::Reset { .. }));
}

#[test]
fn a_flood_is_no_answer() {
    let mut course = course();
    let keys = course.boot();
    let begin = format!("BW{}", keys.split("\"B\"\"W").nth(1).unwrap().split('"').next().unwrap());
    course.hear(&format!("{begin}\r\n"));
    let line = format!("{}\r\n", "x".repeat(1 << 16));
    let end = (0..100).map(|_| course.hear(&line)).find(|actions| !actions.is_empty()).unwrap();
    refused(&end, "without end");
}
