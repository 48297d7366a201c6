//! The time, as an input.

use chrono::{DateTime, Utc};

/// Where the time comes from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The host's clock.
    #[default]
    System,
    /// Always the same moment, for tests.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The time now, without fractions of a second.
    pub fn now(self) -> DateTime<Utc> {
        let now = match self {
            #[expect(clippy::disallowed_methods, reason = "this is the door")]
            Self::System => Utc::now(),
            Self::Fixed(time) => time,
        };
        DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now)
    }
}
