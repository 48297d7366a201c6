//! Cards: the real program writes to real block devices, which are loop devices that the
//! tests made themselves. No other block device is ever opened: see `card.rs`.
//!
//! Needs root and loop devices; without them the tests skip loudly, and in CI they fail.

pub(crate) mod card;
mod liar;
mod liars;
mod maps;
mod records;
mod refused;
mod releases;
mod written;
