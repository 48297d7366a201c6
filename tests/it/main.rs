//! The integration tests: one binary, one module for each thing a user can do.

mod architecture;
mod caches;
mod catalog;
mod cli;
mod crash;
mod double_build;
mod fuzz;
mod hostile;
mod keyless;
mod keys;
mod observe;
mod outputs;
mod pipeline;
mod plans;
mod policies;
mod profiles;
mod prompt_models;
mod prompting;
mod prompts;
mod rebuild;
mod registry;
mod release;
mod remembered;
mod retries;
mod state;
mod verify;
