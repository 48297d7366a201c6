//! Card writers: the real controller and the real agent, as processes of their own; loop devices
//! of the tests' own stand for the slots.
//!
//! Needs root, loop devices and openssl; without them the tests skip loudly, and in CI they fail.

pub(crate) mod bench;
mod cards;
mod killed;
mod lost;
mod networks;
mod refused;
mod requests;
