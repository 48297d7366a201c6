//! Signing keys: ECDSA P-256, kept and used in cosign's form.
//!
//! The private key is a PKCS#8 blob in an `ENCRYPTED SIGSTORE PRIVATE KEY` PEM (scrypt and
//! NaCl secretbox). A key without a passphrase is sealed with the empty one, as cosign does
//! it: the file's mode is then all that guards it. A signature is the base64 of the DER form
//! of an ECDSA signature over SHA-256, which `cosign verify-blob` takes as it is and
//! `openssl dgst` after decoding.

use crate::effects::files::{parent, sync_folder};
use crate::model::failure::IoContext;
use crate::model::{Digest, ErrorCode, Failure, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore::crypto::signing_key::ecdsa::EllipticCurve;
use sigstore::crypto::signing_key::ecdsa::ec::{EcdsaKeys, EcdsaSigner};
use sigstore::crypto::signing_key::{KeyPair as _, Signer as _};
use sigstore::crypto::verification_key::CosignVerificationKey;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key file is larger, in bytes.
const KEY_LIMIT: u64 = 64 << 10;
/// The PEM label of a public key (RFC 7468, section 13).
const PUBLIC_LABEL: &str = "-----BEGIN PUBLIC KEY-----";
/// Length of the nonce of NaCl's secretbox, in bytes.
const NONCE_LENGTH: usize = 24;

/// Makes a new key pair: the private key (sealed with the passphrase, or with the empty one)
/// and the public key, both in PEM.
///
/// # Errors
/// Class *host* if the system gives no random bytes.
pub fn generate(passphrase: Option<&[u8]>) -> Result<(Zeroizing<String>, String)> {
    let failed = |_| Failure::host("a signing key cannot be made: the cryptographic library refused");
    let keys = EcdsaKeys::new(EllipticCurve::P256).map_err(failed)?;
    let private = keys.private_key_to_encrypted_pem(passphrase.unwrap_or_default()).map_err(failed)?;
    let public = keys.public_key_to_pem().map_err(failed)?;
    Ok((private, public.replace("\r\n", "\n")))
}

/// Makes a new key pair and writes it: the private key to `path` (mode 0600), the public one
/// beside it with the ending `.pub`. Gives the public key and its path.
///
/// # Errors
/// Class *host* if one of the files exists already (nothing is ever overwritten) or cannot
/// be written.
pub fn write_key_pair(path: &Path, passphrase: Option<&[u8]>) -> Result<(PublicKey, PathBuf)> {
    let public_path = path.with_extension("pub");
    if public_path == path {
        return Err(Failure::host(format!("{}: a private key cannot end in .pub", path.display()))
            .hint("Choose another name, such as bootwright.key."));
    }
    for taken in [path, public_path.as_path()] {
        if taken.symlink_metadata().is_ok() {
            return Err(exists(taken));
        }
    }
    let (private, public) = generate(passphrase)?;
    let key = PublicKey::parse(&public)?;
    write_new(path, private.as_bytes(), 0o600)?;
    write_new(&public_path, public.as_bytes(), 0o644)?;
    Ok((key, public_path))
}

fn exists(path: &Path) -> Failure {
    Failure::host(format!("{} exists already", path.display()))
        .hint("Use that key, or move it away: a key is never overwritten.")
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = parent(path);
    let writing = || format!("writing {}", path.display());
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .during(writing)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).during(writing)?;
    file.persist_noclobber(path).map_err(|e| match e.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::io(writing(), &e.error),
    })?;
    sync_folder(folder)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};

    fn signer() -> Signer {
        let (private, _) = generate(None).unwrap();
        Signer::parse(&private, None).unwrap()
    }

    #[test]
    fn a_signature_holds_for_its_bytes_and_key_only() {
        let (one, other) = (signer(), signer());
        let signature = one.sign(b"bytes").unwrap();
        one.public().verify(b"bytes", &signature).unwrap();
        assert!(one.public().verifies(b"bytes", &format!("{signature}\n")));
        assert!(!one.public().verifies(b"Bytes", &signature));
        assert!(!other.public().verifies(b"bytes", &signature));
        for bad in ["", "!!", "AAAA", &signature[..20], &signature[1..]] {
            assert!(!one.public().verifies(b"bytes", bad), "{bad:?}");
        }
        let failure = other.public().verify(b"bytes", &signature).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Untrusted);
    }

    #[test]
    fn passphrases_are_needed_and_never_told() {
        let (private, public) = generate(Some(b"correct horse")).unwrap();
        assert!(private.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"));
        let signer = Signer::parse(&private, Some(b"correct horse")).unwrap();
        assert_eq!(signer.public(), &PublicKey::parse(&public).unwrap());
        for wrong in [None, Some(b"wrong".as_slice())] {
            let failure = Signer::parse(&private, wrong).unwrap_err();
            let words = format!("{failure:?}");
            assert!(words.contains("passphrase") && !words.contains("horse"), "{words}");
        }
        assert!(!format!("{signer:?}").contains("PRIVATE"));
    }

    #[test]
    fn hostile_key_files_do_not_panic() {
        let short = BASE64.encode(
            r#"{"kdf":{"name":"scrypt","params":{"N":32768,"r":8,"p":1},"salt":"AA=="},
                "cipher":{"name":"nacl/secretbox","nonce":"AA=="},"ciphertext":"AA=="}"#,
        );
        let sealed = |body: &str| {
            format!(
                "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{body}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
            )
        };
        for bad in ["", "x", "-----BEGIN ", &sealed(""), &sealed("AAAA"), &sealed(&short), &sealed("ä")] {
            assert!(Signer::parse(bad, None).is_err(), "{bad}");
        }
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END PUBLIC KEY-----\n";
        for bad in ["", "-----BEGIN PUBLIC KEY-----", rsa] {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
        let (private, _) = generate(None).unwrap();
        assert!(PublicKey::parse(&private).unwrap_err().message.contains("private key"));
    }

    #[test]
    fn files_are_tight_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/bootwright.key");
        let (key, public_path) = write_key_pair(&path, None).unwrap();
        assert_eq!(public_path, dir.path().join("keys/bootwright.pub"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(PublicKey::load(&public_path).unwrap(), key);
        assert_eq!(Signer::load(&path, None).unwrap().public(), &key);
        assert!(write_key_pair(&path, None).unwrap_err().message.contains("exists already"));
        std::fs::remove_file(&path).unwrap();
        assert!(write_key_pair(&path, None).is_err(), "the public key is still there");
        assert!(write_key_pair(&dir.path().join("x.pub"), None).is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.key");
        write_key_pair(&path, None).unwrap();
        for mode in [0o644, 0o640, 0o604] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let failure = Signer::load(&path, None).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Permission);
            assert!(failure.hint.unwrap().contains("chmod 600"));
        }
    }

    #[test]
    fn openssl_takes_key_and_signature() {
        let dir = tempfile::tempdir().unwrap();
        let signer = signer();
        let (data, key, sig) =
            (dir.path().join("data"), dir.path().join("key.pub"), dir.path().join("data.der"));
        std::fs::write(&data, b"some bytes").unwrap();
        std::fs::write(&key, signer.public().pem()).unwrap();
        std::fs::write(&sig, BASE64.decode(signer.sign(b"some bytes").unwrap()).unwrap()).unwrap();
        let verify = || {
            Process::new("openssl")
                .args(["dgst", "-sha256", "-verify"])
                .arg(&key)
                .arg("-signature")
                .arg(&sig)
                .arg(&data)
                .run(&Cancel::default())
                .unwrap()
        };
        assert!(verify().text().contains("Verified OK"));
        std::fs::write(&data, b"same bytes").unwrap();
        assert!(!verify().status.success());
    }
}
