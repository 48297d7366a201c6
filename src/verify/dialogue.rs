//! What is said to a machine that boots, and what is made of its answers: a state machine without
//! effects. What happens goes in with its time, what shall be done comes out.

use crate::model::evidence::Verdict;
use crate::model::probe::Answer;
use std::time::Duration;

/// One conversation with one machine, powered on at time zero.
pub trait Dialogue: std::fmt::Debug {
    /// Takes in what happened. `last` says how far the serial line shows it to be.
    fn take(&mut self, now: Duration, input: Input, last: &str) -> Vec<Action>;

    /// Lets time pass. `stuck` says why the machine will never go on by itself.
    fn tick(&mut self, now: Duration, last: &str, stuck: Option<&str>) -> Vec<Action>;

    /// Notes a milestone of the serial line.
    fn milestone(&mut self, now: Duration, name: &str);

    /// Whether the boot loader's menu, which is on the screen now, is to be cut short. The
    /// first boot has shown that it starts its first entry by itself.
    fn hurries(&mut self) -> bool;

    /// What was found, and the milestones in milliseconds.
    fn into_record(self: Box<Self>) -> (Vec<String>, Vec<(String, u64)>);
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The guest opened or closed the port.
    Port {
        /// Whether it is open now.
        open: bool,
    },
    /// A whole answer came out of the port.
    Answer(Box<Answer>),
    /// Bytes of the serial line, as they come.
    Serial(Vec<u8>),
    /// The kernel panicked.
    Panic(String),
    /// The machine was reset by the guest.
    Reset,
    /// The machine was powered off; QEMU's word for why.
    Shutdown {
        /// `guest-shutdown`, `host-error`, …
        reason: String,
    },
    /// QEMU failed.
    Failed(String),
}

/// What shall be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this over the port.
    Say(String),
    /// Type this on the serial line.
    Type(String),
    /// Take a picture of the screen.
    Screenshot,
    /// It is over.
    Finish(Verdict),
}
