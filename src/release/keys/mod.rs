//! Signing keys: ECDSA P-256, kept and used in cosign's form.
//!
//! The private key is a PKCS#8 blob in an `ENCRYPTED SIGSTORE PRIVATE KEY` PEM (scrypt and
//! NaCl secretbox). A key without a passphrase is sealed with the empty one, as cosign does
//! it: the file's mode is then all that guards it. A signature is the base64 of the DER form
//! of an ECDSA signature over SHA-256, which `cosign verify-blob` takes as it is and
//! `openssl dgst` after decoding.

mod public;
mod signer;
mod trust;

pub use public::PublicKey;
pub use signer::Signer;
pub use trust::{KeylessTrust, Standing, Term, Trust, TrustProblem, TrustedKey};

use crate::effects::files::{parent, sync_folder};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use sigstore::crypto::signing_key::KeyPair as _;
use sigstore::crypto::signing_key::ecdsa::EllipticCurve;
use sigstore::crypto::signing_key::ecdsa::ec::EcdsaKeys;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key file is larger, in bytes.
const KEY_LIMIT: u64 = 64 << 10;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};
    use crate::model::ErrorCode;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

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
