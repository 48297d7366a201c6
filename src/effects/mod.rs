//! The only doors out: processes, sandbox, downloads, files, block devices, clock.
//!
//! `clippy.toml` closes the side doors (`std::process::Command::new` and friends).
//! Everything long-running takes a [`Cancel`] and looks at it often.

pub mod alive;
pub mod ask;
pub mod block;
pub mod cancel;
pub mod clock;
mod emulation;
pub mod fetch;
pub mod files;
pub mod host;
pub mod listen;
pub mod place;
pub mod point;
pub mod post;
pub mod private;
pub mod process;
mod process_tree;
pub mod random;
mod remove;
pub mod sandbox;
pub mod task;
pub mod umask;
pub mod unfinished;
pub mod usage;

pub use block::ClaimedDevice;
pub use cancel::Cancel;
pub use clock::Clock;
pub use place::Place;
pub use point::{Point, point};
pub use process::{Output, Process, Running};
pub use sandbox::Sandbox;
pub use task::Task;
