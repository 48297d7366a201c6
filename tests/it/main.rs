//! The integration tests: one binary, one module for each thing a user can do.

mod architecture;
mod caches;
mod catalog;
mod cli;
mod outputs;
mod pipeline;
mod plans;
mod release;
mod retries;
mod state;
mod verify;
