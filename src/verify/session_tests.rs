//! Every end of a verification, without a machine.

use super::*;
use crate::model::check::Expect;
use crate::model::probe::Facts;

struct Course {
    session: Session<'static>,
    now: Duration,
}

fn nonces() -> [Nonce; 2] {
    [Nonce::new([1; 16]), Nonce::new([2; 16])]
}

fn service() -> Check {
    let expect = Expect::Service { name: "web.service".to_owned(), running: true };
    Check { field: "spec.services.enable[0]".to_owned(), expect, live: false }
}

fn course() -> Course {
    let wish = Verify { dwell_seconds: 5, timeout_seconds: 60, ..Verify::default() };
    let expected = Expected {
        build_id: Box::leak(Box::new(Digest::of("build"))),
        mode: BootMode::Bios,
        wish: Box::leak(Box::new(wish)),
        checks: Box::leak(Box::new([service()])),
        live: true,
        nonces: nonces(),
    };
    Course { session: Session::new(expected), now: Duration::ZERO }
}

fn answer(verb: Verb, boot: usize, facts: Facts) -> Input {
    Input::Answer(Box::new(Answer {
        verb,
        nonce: nonces()[boot].to_string(),
        build_id: Digest::of("build").hex(),
        facts,
    }))
}

fn hello(boot: usize) -> Input {
    let facts = Facts { boot_id: Some(format!("boot {boot}")), uefi: Some(false), ..Facts::default() };
    answer(Verb::Hello, boot, facts)
}

fn state(state: &str) -> Input {
    web(state, "loaded active running success")
}

/// The system's state, and that of the one service that is declared.
fn web(state: &str, found: &str) -> Input {
    let results = [(0, found.to_owned())].into();
    answer(Verb::Check, 0, Facts { state: Some(state.to_owned()), results, ..Facts::default() })
}

impl Course {
    fn take(&mut self, input: Input) -> Vec<Action> {
        self.now += Duration::from_secs(1);
        self.session.take(self.now, input, "kernel (words)")
    }

    fn wait(&mut self, seconds: u64) -> Vec<Action> {
        self.now += Duration::from_secs(seconds);
        self.session.tick(self.now, "kernel (words)", None)
    }

    fn verdict(actions: Vec<Action>) -> Verdict {
        match actions.into_iter().next() {
            Some(Action::Finish(verdict)) => verdict,
            other => panic!("not over: {other:?}"),
        }
    }

    fn reach_check(&mut self) {
        self.take(Input::Port { open: true });
        assert_eq!(self.take(hello(0)), []);
        assert_eq!(self.wait(4), []);
        assert!(
            matches!(self.wait(2).as_slice(), [Action::Screenshot, Action::Say(s)] if s.starts_with("check 0101"))
        );
    }

    fn reach_second_boot(&mut self) {
        self.reach_check();
        assert!(is_reboot(&self.take(state("running"))));
        self.take(Input::Port { open: false });
        assert_eq!(self.take(Input::Reset), []);
        let Action::Say(said) = self.take(Input::Port { open: true }).remove(0) else { panic!() };
        assert!(said.starts_with("hello 0202"));
    }
}

/// The picture of what passed, then the reboot.
fn is_reboot(actions: &[Action]) -> bool {
    matches!(actions, [Action::Screenshot, Action::Say(s)] if s.starts_with("reboot 0101"))
}

fn refused(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused { reasons } => reasons.join("; "),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_whole_way() {
    let mut course = course();
    assert!(!course.session.hurries(), "the first boot's menu goes on by itself");
    course.reach_second_boot();
    assert!(course.session.hurries());
    assert!(!course.session.hurries(), "Enter is pressed once");
    assert!(matches!(course.take(hello(1)).as_slice(), [Action::Say(s)] if s.starts_with("poweroff 0202")));
    let off = course.take(Input::Shutdown { reason: "guest-shutdown".into() });
    assert_eq!(Course::verdict(off), Verdict::Passed);
    let (findings, timings) = Box::new(course.session).into_record();
    assert!(findings.iter().any(|f| f.starts_with("clean reboot")));
    let names: Vec<_> = timings.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["signal", "dwell", "checked", "reset", "reboot: signal", "powered off"]);
}

#[test]
fn a_plain_power_off_or_reset_never_passes() {
    let off = || Input::Shutdown { reason: "guest-shutdown".into() };
    assert!(refused(Course::verdict(course().take(off()))).contains("powered itself off"));
    let mut c = course();
    c.reach_check();
    assert!(refused(Course::verdict(c.take(off()))).contains("powered itself off"));
    let mut c = course();
    c.reach_check();
    c.take(state("running"));
    assert!(refused(Course::verdict(c.take(off()))).contains("asked to restart"));
    let mut c = course();
    c.reach_second_boot();
    c.take(hello(1));
    assert!(refused(Course::verdict(c.take(Input::Reset))).contains("asked to power off"));
}

#[test]
fn resets_and_panics_are_told_apart() {
    assert_eq!(
        Course::verdict(course().take(Input::Reset)),
        Verdict::Reset { last: "kernel (words)".into() }
    );
    let mut c = course();
    c.take(hello(0));
    assert_eq!(
        Course::verdict(c.take(Input::Reset)),
        Verdict::Reset { last: "its signal (kernel (words))".into() }
    );
    let mut c = course();
    c.reach_second_boot();
    // The same reset, told twice; then another one.
    assert_eq!(c.take(Input::Reset), []);
    c.wait(3);
    assert!(matches!(Course::verdict(c.take(Input::Reset)), Verdict::Reset { .. }));
    let mut c = course();
    c.reach_second_boot();
    assert_eq!(Course::verdict(c.take(Input::Panic("VFS".into()))), Verdict::Panic { message: "VFS".into() });
    assert!(matches!(
        Course::verdict(course().take(Input::Shutdown { reason: "host-error".into() })),
        Verdict::MachineFailed { .. }
    ));
}

#[test]
fn silence_names_the_last_milestone() {
    assert_eq!(Course::verdict(course().wait(60)), Verdict::Hang { last: "kernel (words)".into() });
    let mut c = course();
    c.reach_check();
    assert!(
        matches!(Course::verdict(c.wait(92)), Verdict::Hang { last } if last.contains("no longer answers"))
    );
    let mut c = course();
    c.reach_check();
    c.take(state("running"));
    assert!(
        matches!(Course::verdict(c.wait(150)), Verdict::Hang { last } if last.contains("reboot was asked for"))
    );
    let mut c = course();
    c.reach_second_boot();
    assert!(
        matches!(Course::verdict(c.wait(60)), Verdict::Hang { last } if last.contains("the clean reboot, then"))
    );
}

#[test]
fn a_prompt_ends_the_waiting() {
    let mut c = course();
    let mut tick = |at: u64, stuck| c.session.tick(Duration::from_secs(at), "initramfs", stuck);
    assert_eq!(tick(1, Some("opened its shell")), []);
    assert_eq!(tick(5, None), []);
    assert_eq!(tick(6, Some("opened its shell")), []);
    assert_eq!(
        Course::verdict(tick(14, Some("opened its shell"))),
        Verdict::Hang { last: "initramfs: opened its shell".into() }
    );
}

#[test]
fn a_recording_is_no_answer() {
    let mut c = course();
    assert_eq!(c.take(hello(1)), []);
    assert!(refused(Course::verdict(c.wait(60))).contains("recording"));
    let mut c = course();
    c.reach_second_boot();
    assert_eq!(c.take(hello(0)), []);
    assert!(refused(Course::verdict(c.wait(60))).contains("recording"));
}

#[test]
fn another_build_and_the_same_boot_are_refused() {
    let mut c = course();
    let Input::Answer(mut other) = hello(0) else { unreachable!() };
    other.build_id = Digest::of("other").hex();
    assert!(refused(Course::verdict(c.take(Input::Answer(other)))).contains("was expected"));
    let mut c = course();
    c.reach_second_boot();
    let facts = Facts { boot_id: Some("boot 0".into()), uefi: Some(false), ..Facts::default() };
    assert!(
        refused(Course::verdict(c.take(answer(Verb::Hello, 1, facts)))).contains("same after the reboot")
    );
}

#[test]
fn a_system_that_still_starts_is_asked_again() {
    let mut c = course();
    c.reach_check();
    assert_eq!(c.take(state("starting")), []);
    assert!(matches!(c.wait(2).as_slice(), [Action::Say(s)] if s.starts_with("check")));
    assert_eq!(c.take(state("starting")), []);
    assert!(matches!(Course::verdict(c.wait(60)), Verdict::Hang { last } if last.contains("still starting")));
    let mut c = course();
    c.reach_check();
    c.take(state("starting"));
    c.wait(2);
    assert!(refused(Course::verdict(c.take(state("degraded")))).contains("degraded"));
}

#[test]
fn what_may_become_right_is_waited_for_and_then_named() {
    let mut c = course();
    c.reach_check();
    assert_eq!(c.take(web("running", "loaded activating start success")), []);
    assert!(matches!(c.wait(2).as_slice(), [Action::Say(s)] if s.starts_with("check")));
    // It is looked at once more: it could fall again.
    assert_eq!(c.take(state("running")), []);
    assert_eq!(c.wait(9), []);
    assert!(matches!(c.wait(1).as_slice(), [Action::Say(s)] if s.starts_with("check")));
    assert!(is_reboot(&c.take(state("running"))));
    let (findings, _) = Box::new(c.session).into_record();
    assert!(findings.contains(&"declared and found: 1 of 1".to_owned()), "{findings:?}");
    let mut c = course();
    c.reach_check();
    c.take(web("running", "loaded activating start success"));
    c.wait(2);
    c.take(state("running"));
    c.wait(10);
    let words = refused(Course::verdict(c.take(web("running", "loaded failed failed exit-code"))));
    assert!(words.ends_with("found it failed (exit-code)"), "{words}");
    let mut c = course();
    c.reach_check();
    c.take(web("running", "loaded inactive dead success"));
    c.wait(2);
    assert_eq!(c.wait(60), []);
    let words = refused(Course::verdict(c.take(web("running", "loaded inactive dead success"))));
    assert_eq!(words, "spec.services.enable[0]: expected web.service to run, found it is inactive (dead)");
    // What has failed is not waited for.
    let mut c = course();
    c.reach_check();
    let words = refused(Course::verdict(c.take(web("running", "loaded failed failed exit-code"))));
    assert!(words.ends_with("found it failed (exit-code)"), "{words}");
    let mut c = course();
    c.reach_check();
    let words = refused(Course::verdict(c.take(answer(
        Verb::Check,
        0,
        Facts { state: Some("running".to_owned()), ..Facts::default() },
    ))));
    assert!(words.ends_with("found no answer"), "{words}");
}

#[test]
fn after_the_end_nothing_counts() {
    let mut c = course();
    c.take(Input::Panic("x".into()));
    assert_eq!(c.take(hello(0)), []);
    assert_eq!(c.wait(1000), []);
}
