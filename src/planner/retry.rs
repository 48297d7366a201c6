//! When to try again what failed.
//!
//! The class of the last failure decides: some failures pass by themselves, some only
//! when the recipe changes. The jitter comes from the image's name and the number of
//! failures, so that images that failed together do not come back together and the same
//! inputs give the same plan.

use super::inputs::Failures;
use crate::model::plan::Status;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, ImageName};
use chrono::{DateTime, TimeDelta, Utc};

/// So many failures in a row, and only a change or a person starts it again.
pub const STALLED_AFTER: u32 = 5;

/// The first pause; each further one is four times as long.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// No pause is longer, jitter aside.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(6);

/// What the failures so far mean for one more attempt at `of`: `None` if it may start now.
pub(super) fn hold(
    image: &ImageName,
    of: &Digest,
    failures: Option<&Failures>,
    policies: Option<&Digest>,
    now: DateTime<Utc>,
) -> Option<Status> {
    let failures = failures.filter(|f| f.count > 0 && f.of == *of)?;
    // What other policies refused may be right by these.
    if failures.last.code == ErrorCode::Policy && failures.last.policies.as_deref() != policies {
        return None;
    }
    // Neither says that the next attempt would fail: who works without network may have it now.
    if failures.last.class == FailureClass::Cancelled || failures.last.code == ErrorCode::Offline {
        return None;
    }
    if needs_change(&failures.last) || failures.count >= STALLED_AFTER {
        return Some(Status::Stalled {
            failures: failures.count,
            class: failures.last.class,
            message: words(&failures.last),
        });
    }
    if failures.at > now {
        // The clock was set back since: nobody knows how long ago it was.
        return None;
    }
    let again = failures.at + pause(image, failures.count);
    (now < again).then(|| Status::Waiting {
        on: format!(
            "retry after {} ({} failure {} of {STALLED_AFTER}: {})",
            again.format("%Y-%m-%dT%H:%M:%SZ"),
            failures.last.class,
            failures.count,
            words(&failures.last)
        ),
    })
}

/// What failed, and the line that says why where the message does not.
fn words(failure: &Failure) -> String {
    match failure.deciding_line() {
        Some(line) if !failure.message.contains(line) => format!("{}: {line}", failure.message),
        _ => failure.message.clone(),
    }
}

/// Whether the same recipe would only fail the same way again.
fn needs_change(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Spec | FailureClass::Limit => true,
        // An image that was looked at and refused; a boot that ran out of time may have
        // met a busy host.
        FailureClass::Verify => failure.code == ErrorCode::VerifyFailed,
        FailureClass::Upstream | FailureClass::Host | FailureClass::Cancelled | FailureClass::Bug => false,
    }
}

/// 1, 4, 16, 64 … minutes, and up to a quarter more.
pub(super) fn pause(image: &ImageName, failures: u32) -> TimeDelta {
    let factor = 4_i32.saturating_pow(failures.saturating_sub(1).min(10));
    let pause = FIRST_PAUSE.checked_mul(factor).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
    let digest = Digest::of(format!("{image} {failures}"));
    let share = i32::from(digest.as_bytes()[0]);
    TimeDelta::seconds((pause * share / 1024).num_seconds()) + pause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn failed(count: u32, last: Failure, ago: TimeDelta) -> Failures {
        Failures { of: Digest::of("recipe"), count, last, at: now() - ago }
    }

    fn held(failures: &Failures) -> Option<Status> {
        hold(&"edge".parse().unwrap(), &Digest::of("recipe"), Some(failures), None, now())
    }

    #[test]
    fn pauses_grow_and_differ_between_images() {
        let (a, b): (ImageName, ImageName) = ("a".parse().unwrap(), "b".parse().unwrap());
        for n in 1..8 {
            let base = (1_i64 << (2 * (n - 1))).min(360);
            let pause = pause(&a, n);
            assert!(
                pause >= TimeDelta::minutes(base) && pause <= TimeDelta::seconds(base * 75),
                "{n}: {pause}"
            );
        }
        assert_ne!(pause(&a, 3), pause(&b, 3));
        assert!(pause(&a, u32::MAX) < LONGEST_PAUSE * 2);
    }

    #[test]
    fn what_passes_by_itself_waits() {
        let flaky = failed(1, Failure::upstream("mirror is down"), TimeDelta::seconds(30));
        assert!(matches!(held(&flaky), Some(Status::Waiting { .. })));
        let flaky = failed(1, Failure::upstream("mirror is down"), TimeDelta::minutes(2));
        assert_eq!(held(&flaky), None);
    }

    #[test]
    fn what_needs_a_change_stalls_at_once() {
        let refused =
            Failure::new(ErrorCode::VerifyFailed, FailureClass::Verify, "nginx.service is not active");
        let slow = Failure::new(ErrorCode::Timeout, FailureClass::Verify, "no signal in 600 s");
        let large = Failure::new(ErrorCode::LimitExceeded, FailureClass::Limit, "iso is too large");
        let year = TimeDelta::days(365);
        for failure in [Failure::spec("no such package"), refused, large] {
            assert!(matches!(held(&failed(1, failure, year)), Some(Status::Stalled { failures: 1, .. })));
        }
        assert_eq!(held(&failed(1, slow, year)), None);
    }

    #[test]
    fn a_refusal_by_other_policies_holds_nothing_back() {
        let (these, others) = (Digest::of("these"), Digest::of("others"));
        let mut failure = Failure::new(ErrorCode::Policy, FailureClass::Spec, "a setuid file");
        failure.policies = Some(Box::new(these));
        let refused = failed(1, failure, TimeDelta::seconds(1));
        let recipe = Digest::of("recipe");
        let hold = |policies| hold(&"edge".parse().unwrap(), &recipe, Some(&refused), policies, now());
        assert!(matches!(hold(Some(&these)), Some(Status::Stalled { failures: 1, .. })));
        assert_eq!(hold(Some(&others)), None);
        assert_eq!(hold(None), None);
    }

    #[test]
    fn five_in_a_row_stall_but_not_for_another_recipe() {
        let often = failed(STALLED_AFTER, Failure::host("disk is full"), TimeDelta::days(365));
        assert!(matches!(held(&often), Some(Status::Stalled { failures: 5, .. })));
        let other = hold(&"edge".parse().unwrap(), &Digest::of("other"), Some(&often), None, now());
        assert_eq!(other, None);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let ahead = failed(1, Failure::upstream("mirror is down"), -TimeDelta::days(3650));
        assert_eq!(held(&ahead), None);
        let often = failed(STALLED_AFTER, Failure::host("disk is full"), -TimeDelta::days(3650));
        assert!(matches!(held(&often), Some(Status::Stalled { .. })));
    }

    #[test]
    fn the_line_that_decided_is_told() {
        let log = "dpkg: error processing package x (--configure):\n frobnicate: not found\nErrors were encountered while processing:\n x";
        let failure = Failure::upstream("package x could not be installed").details(log);
        let Some(Status::Waiting { on }) = held(&failed(1, failure.clone(), TimeDelta::zero())) else {
            panic!()
        };
        let line = "package x could not be installed: frobnicate: not found";
        assert!(on.contains(line), "{on}");
        let Some(Status::Stalled { message, .. }) = held(&failed(5, failure, TimeDelta::zero())) else {
            panic!()
        };
        assert_eq!(message, line);
        // What the message says already is not said twice.
        let same = Failure::host("mksquashfs: disk is full").details("disk is full");
        assert_eq!(words(&same), "mksquashfs: disk is full");
    }

    #[test]
    fn work_without_network_is_no_reason_to_wait() {
        assert_eq!(held(&failed(9, Failure::offline("3 packages are missing"), TimeDelta::zero())), None);
    }

    #[test]
    fn stopped_by_the_user_is_no_reason_to_wait() {
        assert_eq!(held(&failed(9, Failure::cancelled(), TimeDelta::zero())), None);
    }
}
