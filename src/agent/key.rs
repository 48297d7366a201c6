//! The agent's own key: Ed25519 (RFC 8032), made on this host, in a file for its owner's eyes only.

use crate::effects::files::write_atomic;
use crate::effects::private::read_private;
use crate::effects::random;
use crate::model::writer::WriterKey;
use crate::model::{Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use std::path::Path;
use zeroize::Zeroizing;

/// What its file begins with; base64 of the 32 bytes follows.
const PREFIX: &str = "ed25519-private:";

/// Its file is not longer, in bytes.
const LONGEST: u64 = 1024;

/// The agent's own key.
pub struct Key(SigningKey);

impl Key {
    /// The key in a file; made if there is none.
    ///
    /// # Errors
    /// Class *host* if others may read it, it is none, or it cannot be written.
    pub fn load_or_make(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Self::load(path);
        }
        let seed = Zeroizing::new(random::bytes::<32>()?);
        let text = Zeroizing::new(format!("{PREFIX}{}\n", BASE64.encode(seed.as_slice())));
        write_atomic(path, text.as_bytes(), 0o600)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// As [`Key::load_or_make`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_private(path, LONGEST)?;
        let seed = text.trim().strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok());
        let seed: Option<Zeroizing<[u8; 32]>> =
            seed.map(Zeroizing::new).and_then(|seed| seed.as_slice().try_into().ok()).map(Zeroizing::new);
        let seed = seed.ok_or_else(|| {
            Failure::host(format!("{} is no key of a card writer", path.display()))
                .hint("Put the right file there, or take it away and enrol again.")
        })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public half.
    ///
    /// # Errors
    /// Never; a public key always has its text.
    pub fn public(&self) -> Result<WriterKey> {
        WriterKey::of(&self.0.verifying_key()).ok_or_else(|| Failure::bug("a public key has no text"))
    }

    /// A signature, base64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        BASE64.encode(self.0.sign(bytes).to_bytes())
    }
}
