//! Private keys: opened, and kept out of every message.

use super::{KEY_LIMIT, PublicKey};
use crate::effects::private::read_private;
use crate::model::{ErrorCode, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore::crypto::signing_key::ecdsa::ec::{EcdsaKeys, EcdsaSigner};
use sigstore::crypto::signing_key::{KeyPair as _, Signer as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Length of the nonce of NaCl's secretbox, in bytes.
const NONCE_LENGTH: usize = 24;

/// A private key, ready to sign. Its secret part is wiped when it is dropped and shows in no
/// debug output and no message.
pub struct Signer {
    inner: EcdsaSigner,
    public: PublicKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a private key. Deriving the sealing key takes about a tenth of a second, so
    /// load it only when something is to be signed.
    ///
    /// # Errors
    /// Class *host* if the file cannot be read, others may read it, the passphrase is wrong,
    /// or it is no ECDSA P-256 key in cosign's form.
    pub fn load(path: &Path, passphrase: Option<&[u8]>) -> Result<Self> {
        let pem = read_key(path)?;
        Self::parse(&pem, passphrase).map_err(|f| f.on(path.display()))
    }

    /// A private key from its PEM.
    ///
    /// # Errors
    /// As [`Signer::load`], without those about the file.
    pub fn parse(pem: &str, passphrase: Option<&[u8]>) -> Result<Self> {
        let unreadable = || {
            Failure::host("not a private key in cosign's form")
                .hint("Make one with `bootwright init`, or with `cosign generate-key-pair`.")
        };
        check_seal(pem).ok_or_else(unreadable)?;
        let keys =
            EcdsaKeys::from_encrypted_pem(pem.as_bytes(), passphrase.unwrap_or_default()).map_err(|_| {
                // The library's own words are not passed on: they may quote key material.
                let what = if passphrase.is_some() {
                    "the passphrase does not open it"
                } else {
                    "it has a passphrase and none was given"
                };
                Failure::host(format!("the private key cannot be opened: {what}"))
                    .code(ErrorCode::Permission)
                    .hint("Give the passphrase that the key was made with.")
            })?;
        let public = keys.public_key_to_pem().map_err(|_| unreadable())?;
        let public = PublicKey::parse(&public)?;
        let inner = keys.to_signer().map_err(|_| unreadable())?;
        Ok(Self { inner, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A detached signature of `bytes` in the form of cosign's `.sig` files: base64 in one
    /// line, without a line end.
    ///
    /// # Errors
    /// Class *host* if the system gives no random bytes.
    pub fn sign(&self, bytes: &[u8]) -> Result<String> {
        let der = self
            .inner
            .sign(bytes)
            .map_err(|_| Failure::host("signing failed: the cryptographic library refused"))?;
        Ok(BASE64.encode(der))
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<String>> {
    read_private(path, KEY_LIMIT).map_err(|f| {
        if f.code == ErrorCode::NotFound { f.hint("Make a key with `bootwright init`.") } else { f }
    })
}

/// The crate panics on a sealed key whose nonce has the wrong length: looked at before.
fn check_seal(pem: &str) -> Option<()> {
    let start = pem.find("-----BEGIN ")?;
    let (label, rest) = pem[start + 11..].split_once("-----")?;
    if label == "PRIVATE KEY" {
        return Some(());
    }
    if !matches!(label, "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY") {
        return None;
    }
    let body: String = rest.split_once("-----END ")?.0.split_ascii_whitespace().collect();
    let sealed: serde_json::Value = serde_json::from_slice(&BASE64.decode(body).ok()?).ok()?;
    let nonce = BASE64.decode(sealed.get("cipher")?.get("nonce")?.as_str()?).ok()?;
    (nonce.len() == NONCE_LENGTH).then_some(())
}
