//! The integration tests: one binary, one module for each thing a user can do.

mod architecture;
mod catalog;
mod cli;
mod outputs;
mod pipeline;
mod plans;
mod policies;
mod release;
mod state;
mod verify;
