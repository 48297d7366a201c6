//! Whole block devices, and the only way to write to one.
//!
//! What a newcomer would get wrong: a path proves nothing. Between looking at `/dev/sdb` and
//! opening it, the card can be another one. So a device is looked at, opened for ourselves
//! alone, compared with what was seen by number, size and disk sequence number, and the
//! descriptor is kept until the end: [`ClaimedDevice`] is the only thing that can be written to.

mod buffer;
mod claim;
mod device;
mod filesystem;
mod port;
mod used;

pub use buffer::Buffer;
pub use claim::{Access, ClaimedDevice};
pub use device::look;
pub use port::at_port;
