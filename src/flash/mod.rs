//! Writing images to cards, and proving that they are there.
//!
//! What a newcomer would get wrong: that a write, a sync and even a read said "done" proves
//! nothing. Cards drop writes, wrap around, flip bits; the page cache gives back what they
//! never kept. So the card is probed first, and after all writes the whole image is read back
//! past the cache and compared. The first MiB is made zero before anything else and written
//! last: a card whose writing was broken off does not boot.
//!
//! One decode feeds all cards. A card that fails or answers too late drops out; the others
//! go on.

mod already;
mod card;
mod feed;
mod fleet;
mod inventory;
mod judge;
mod probe;
mod readback;
mod source;
mod unpack;
mod write;

pub use already::already;
pub use fleet::{Job, write};
pub use source::{Expected, Measured, Packing, Source};

/// What is compared and counted: a block of so many bytes.
pub const BLOCK: usize = 1 << 20;
/// What is written and read at once.
const CHUNK: usize = 4 << 20;
/// What is written last.
const HEAD: usize = BLOCK;
