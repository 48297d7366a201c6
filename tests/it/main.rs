//! The integration tests: one binary, one module for each thing a user can do.

mod architecture;
mod catalog;
mod cli;
mod fuzz;
mod hostile;
mod outputs;
mod pipeline;
mod plans;
mod release;
mod remembered;
mod state;
mod verify;
