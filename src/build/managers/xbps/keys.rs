//! Whom xbps trusts: RSA public keys, as xbps keeps them (`var/db/xbps/keys/*.plist`) or in PEM.

use crate::build::managers::outside;
use crate::model::plist;
use crate::model::{Digest, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigstore::crypto::Signature;
use sigstore::crypto::verification_key::CosignVerificationKey;

/// The keys of a mirror.
pub(super) struct Keys {
    /// In PEM, in the order of their files' names, and ready to check with.
    all: Vec<(Vec<u8>, CosignVerificationKey)>,
}

impl Keys {
    /// Reads a mirror's `keyring`, a folder or one key.
    ///
    /// # Errors
    /// Class *spec* if there is no such key in it.
    pub(super) fn read(keyring: &str) -> Result<Self> {
        let mut all = Vec::new();
        for (file, bytes) in outside::key_files(keyring)? {
            let Some(pem) = pem(&bytes) else { continue };
            match CosignVerificationKey::try_from_pem(&pem) {
                Ok(key @ CosignVerificationKey::RSA_PKCS1_SHA256(_)) => all.push((pem, key)),
                _ => return Err(no_keys().details(format!("{} is no RSA public key", file.display()))),
            }
        }
        if all.is_empty() { Err(no_keys()) } else { Ok(Self { all }) }
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, pem: &[u8]) -> bool {
        self.all.iter().any(|(known, _)| known == pem)
    }

    /// Whether the bytes are signed by one of them: RSA (PKCS #1 v1.5) over SHA-256, which is
    /// what `xbps-rindex --sign-pkg` writes into `FILE.sig2`.
    pub(super) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.all.iter().any(|(_, key)| key.verify_signature(Signature::Raw(signature), bytes).is_ok())
    }

    /// Their digest.
    pub(super) fn digest(&self) -> Digest {
        Digest::of_json(&self.all.iter().map(|(pem, _)| Digest::of(pem)).collect::<Vec<_>>())
    }
}

fn no_keys() -> Failure {
    Failure::spec("a mirror's keyring has no RSA public key, or something else beside them")
        .hint("Set `keyring:` of the mirror in bootwright.yaml to a folder of xbps's keys: *.plist.")
}

fn pem(bytes: &[u8]) -> Option<Vec<u8>> {
    let is_key = |bytes: &[u8]| bytes.starts_with(b"-----BEGIN PUBLIC KEY-----");
    if is_key(bytes) {
        return Some(bytes.to_vec());
    }
    let list = plist::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    public_key(&list).filter(|key| is_key(key))
}

/// The key in a property list: of xbps's own, or of a repository.
pub(super) fn public_key(list: &plist::Value) -> Option<Vec<u8>> {
    let text: String = list.text("public-key")?.split_whitespace().collect();
    STANDARD.decode(text).ok()
}
