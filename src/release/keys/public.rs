//! Public keys: read, named, and asked whether a signature is theirs.

use super::KEY_LIMIT;
use crate::model::{Digest, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore::crypto::verification_key::CosignVerificationKey;
use std::path::Path;

/// The PEM label of a public key (RFC 7468, section 13).
const PUBLIC_LABEL: &str = "-----BEGIN PUBLIC KEY-----";
/// Length of the DER form of a P-256 key with an uncompressed point (RFC 5480), in bytes.
const SPKI_LENGTH: usize = 91;

/// A public key that signatures are checked with.
#[derive(Clone)]
pub struct PublicKey {
    inner: CosignVerificationKey,
    pem: String,
    id: Digest,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.id.hex())
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for PublicKey {}

impl PublicKey {
    /// A public key from its PEM (`-----BEGIN PUBLIC KEY-----`, an X.509
    /// `SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// Class *spec* if it is anything else than an ECDSA key on the curve P-256.
    pub fn parse(pem: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Failure::spec(format!("not a public key for releases: {why}"))
                .hint("Give the PEM file of an ECDSA P-256 public key, such as cosign.pub.")
        };
        let pem = pem.trim().replace("\r\n", "\n");
        if !pem.starts_with(PUBLIC_LABEL) {
            return Err(refuse(if pem.contains("PRIVATE KEY") {
                "this is a private key"
            } else {
                "no PEM with the label PUBLIC KEY"
            }));
        }
        let inner = CosignVerificationKey::try_from_pem(pem.as_bytes())
            .map_err(|_| refuse("its PEM or its ASN.1 cannot be read"))?;
        let CosignVerificationKey::ECDSA_P256_SHA256_ASN1(spki) = &inner else {
            return Err(refuse("another algorithm than ECDSA P-256"));
        };
        // One key, one form, one id: else the same key could stand in a list twice.
        if spki.len() != SPKI_LENGTH {
            return Err(refuse("its point is not in the uncompressed form"));
        }
        let id = Digest::of(spki);
        Ok(Self { inner, pem: format!("{pem}\n"), id })
    }

    /// Reads a public key from a file.
    ///
    /// # Errors
    /// As [`PublicKey::parse`], and class *host* if the file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = crate::effects::files::read_if_exists(path, KEY_LIMIT)?
            .ok_or_else(|| Failure::not_found(format!("{} does not exist", path.display())))?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|f| f.on(path.display()))
    }

    /// The key in PEM, with a line end.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the DER form of the `SubjectPublicKeyInfo`: what identifies the key.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// The part of a signature's file name that tells the keys apart: the first 16 digits of
    /// the id.
    pub fn tag(&self) -> String {
        self.id.hex().chars().take(16).collect()
    }

    /// Whether `signature` (base64, white space around it ignored) is this key's over `bytes`.
    pub fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(der) = BASE64.decode(signature.trim_ascii()) else { return false };
        self.inner.verify_signature(sigstore::crypto::Signature::Raw(&der), bytes).is_ok()
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// *Untrusted* if this key did not make it over these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> Result<()> {
        if self.verifies(bytes, signature) {
            return Ok(());
        }
        Err(Failure::untrusted(format!("the signature was not made by key {}", self.id.short()))
            .hint("Check that this is the publisher's key, and get the files again."))
    }
}
