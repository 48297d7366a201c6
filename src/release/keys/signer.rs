//! Private keys: opened, and kept out of every message.

use super::{KEY_LIMIT, PublicKey};
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore::crypto::signing_key::ecdsa::ec::{EcdsaKeys, EcdsaSigner};
use sigstore::crypto::signing_key::{KeyPair as _, Signer as _};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
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
        let pem = read_private(path)?;
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

fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    let file = std::fs::File::open(path).during(|| format!("opening {}", path.display())).map_err(|f| {
        if f.code == ErrorCode::NotFound { f.hint("Make a key with `bootwright init`.") } else { f }
    })?;
    let metadata = file.metadata().during(|| format!("reading {}", path.display()))?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() {
        return Err(Failure::host(format!("{} is not a file", path.display())));
    }
    if mode & 0o077 != 0 {
        return Err(Failure::host(format!(
            "{}: others may read this private key (mode {:04o})",
            path.display(),
            mode & 0o7777
        ))
        .code(ErrorCode::Permission)
        .hint(format!("Run `chmod 600 {}`; if others had access to it, make a new key.", path.display())));
    }
    // Reserved in one piece: a string that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(KEY_LIMIT).unwrap_or(0) + 1));
    file.take(KEY_LIMIT + 1).read_to_string(&mut text).during(|| format!("reading {}", path.display()))?;
    if text.len() as u64 > KEY_LIMIT {
        return Err(Failure::host(format!("{} is too large for a key", path.display())));
    }
    Ok(text)
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
