//! Recipes × observed → plan and report. Pure: no I/O, no clock but the one it is given.

pub mod schedule;

pub use schedule::Schedule;
