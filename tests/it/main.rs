//! The integration tests: one binary, one module for each thing a user can do.

mod architecture;
mod catalog;
mod cli;
mod hostile;
mod outputs;
mod pipeline;
mod plans;
mod release;
mod state;
mod verify;
