//! OpenPGP signature of `SHA256SUMS` (`SHA256SUMS.asc`), for those who check with gpg.
//!
//! Format: a detached version-4 signature in ASCII armour (RFC 9580, sections 5.2 and 10.4).

use crate::effects::private::read_private;
use crate::model::{Failure, Result};
use chrono::{DateTime, Utc};
use pgp::composed::{
    ArmorOptions, Deserializable, DetachedSignature, SignedPublicKey, SignedSecretKey, SignedSecretSubKey,
};
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, KeyVersion, Password, SigningKey, Timestamp};
use std::path::Path;

/// No key file is larger, in bytes.
const KEY_LIMIT: u64 = 1 << 20;

/// A secret key that signs.
pub struct SecretKey {
    key: SignedSecretKey,
    password: Password,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.fingerprint())
    }
}

impl SecretKey {
    /// Reads an armoured secret key (`gpg --export-secret-keys --armor`).
    ///
    /// # Errors
    /// Class *host* if the file cannot be read, others may read it, or it is no secret key.
    pub fn load(path: &Path, passphrase: Option<&[u8]>) -> Result<Self> {
        let text = read_private(path, KEY_LIMIT)?;
        Self::parse(text.as_bytes(), passphrase).map_err(|f| f.on(path.display()))
    }

    /// A secret key from its armour.
    ///
    /// # Errors
    /// Class *host* if it is no secret key.
    pub fn parse(armour: &[u8], passphrase: Option<&[u8]>) -> Result<Self> {
        let (key, _) = SignedSecretKey::from_armor_single(armour).map_err(|_| {
            Failure::host("not an armoured OpenPGP secret key")
                .hint("Export one with `gpg --export-secret-keys --armor KEY`.")
        })?;
        key.verify_bindings().map_err(|_| Failure::host("the OpenPGP key's own signatures do not hold"))?;
        Ok(Self { key, password: passphrase.unwrap_or_default().into() })
    }

    /// The fingerprint of the primary key, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint().to_string()
    }

    /// The public key in ASCII armour.
    ///
    /// # Errors
    /// Class *bug* if it cannot be written.
    pub fn public_armour(&self) -> Result<String> {
        self.key
            .to_public_key()
            .to_armored_string(ArmorOptions::default())
            .map_err(|e| Failure::bug(format!("writing an OpenPGP public key: {e}")))
    }

    /// A detached, armoured signature of `bytes`, dated `created`.
    ///
    /// # Errors
    /// Class *host* if the passphrase is wrong or the key cannot sign.
    pub fn sign(&self, bytes: &[u8], created: DateTime<Utc>) -> Result<String> {
        let seconds = u32::try_from(created.timestamp())
            .map_err(|_| Failure::bug(format!("{created} is no date that OpenPGP knows")))?;
        let subkeys = || self.key.secret_subkeys.iter().filter(|s| may_sign(s));
        // gpg signs with the newest subkey that may, and so do we.
        let signature = match subkeys().max_by_key(|s| s.created_at()) {
            Some(subkey) => detached(&subkey.key, &self.password, bytes, seconds),
            None => detached(&self.key.primary_key, &self.password, bytes, seconds),
        };
        signature.and_then(|s| s.to_armored_string(ArmorOptions::default())).map_err(|_| {
            Failure::host(format!("the OpenPGP key {} cannot sign", self.fingerprint()))
                .hint("Check its passphrase, and that it is a version-4 key that may sign.")
        })
    }
}

fn may_sign(subkey: &SignedSecretSubKey) -> bool {
    let revoked = subkey.signatures.iter().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation));
    !revoked && subkey.signatures.iter().any(|s| s.key_flags().sign())
}

fn detached(
    key: &impl SigningKey,
    password: &Password,
    bytes: &[u8],
    seconds: u32,
) -> pgp::errors::Result<DetachedSignature> {
    if key.version() != KeyVersion::V4 {
        return Err(pgp::errors::Error::from("only version-4 keys sign here".to_owned()));
    }
    let mut config = SignatureConfig::v4(SignatureType::Binary, key.algorithm(), key.hash_alg());
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(seconds)))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?];
    Ok(DetachedSignature::new(config.sign(key, password, bytes)?))
}

/// Whether a text is an armoured OpenPGP public key.
pub fn is_public_key(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----")
}

/// Checks a detached, armoured signature by any key or subkey of an armoured public key;
/// gives the fingerprint of the primary key.
///
/// # Errors
/// *Untrusted* if the key did not make it, class *spec* if the key cannot be read.
pub fn verify(public_key: &str, bytes: &[u8], signature: &str) -> Result<String> {
    let (key, _) = SignedPublicKey::from_string(public_key)
        .map_err(|_| Failure::spec("not an armoured OpenPGP public key"))?;
    key.verify_bindings().map_err(|_| Failure::spec("the OpenPGP key's own signatures do not hold"))?;
    let (signature, _) = DetachedSignature::from_string(signature)
        .map_err(|_| Failure::untrusted("not an armoured OpenPGP signature"))?;
    let good = signature.verify(&key, bytes).is_ok()
        || key.public_subkeys.iter().any(|subkey| signature.verify(subkey, bytes).is_ok());
    if good {
        return Ok(key.fingerprint().to_string());
    }
    Err(Failure::untrusted(format!("the signature was not made by OpenPGP key {}", key.fingerprint())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Output, Process};
    use crate::model::ErrorCode;
    use std::os::unix::fs::PermissionsExt;

    /// A short GNUPGHOME: the agent's socket path must fit into 108 bytes.
    fn gpg(home: &Path, args: &[&str]) -> Output {
        Process::new("gpg")
            .args(["--batch", "--quiet", "--homedir"])
            .arg(home)
            .args(["--pinentry-mode", "loopback"])
            .args(args)
            .run(&Cancel::default())
            .unwrap()
    }

    fn home() -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    fn make(home: &Path, algorithm: &str, passphrase: &str) -> Vec<u8> {
        let user = "Release Test <release@example.org>";
        let made = gpg(
            home,
            &["--passphrase", passphrase, "--quick-generate-key", user, algorithm, "default", "never"],
        );
        assert!(made.status.success(), "{}", made.tail());
        let exported = gpg(home, &["--passphrase", passphrase, "--armor", "--export-secret-keys"]);
        assert!(exported.status.success(), "{}", exported.tail());
        exported.stdout
    }

    #[test]
    fn gpg_takes_the_signature() {
        let home = home();
        let secret = make(home.path(), "ed25519", "");
        let key = SecretKey::parse(&secret, None).unwrap();
        let created = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        let signature = key.sign(b"sums\n", created).unwrap();
        assert_eq!(signature, key.sign(b"sums\n", created).unwrap(), "same input, same bytes");
        let (data, asc) = (home.path().join("SHA256SUMS"), home.path().join("SHA256SUMS.asc"));
        std::fs::write(&asc, &signature).unwrap();
        let verify = || {
            let args = ["--faked-system-time", "1900000100", "--status-fd", "1", "--verify"];
            gpg(home.path(), &[&args[..], &[asc.to_str().unwrap(), data.to_str().unwrap()]].concat())
        };
        std::fs::write(&data, b"sums\n").unwrap();
        let good = verify();
        assert!(good.status.success() && good.text().contains("GOODSIG"), "{}", good.tail());
        std::fs::write(&data, b"sumz\n").unwrap();
        let bad = verify();
        assert!(!bad.status.success() && bad.text().contains("BADSIG"));
        let public = key.public_armour().unwrap();
        verify_both(&public, &signature);
        let _ = Process::new("gpgconf")
            .arg("--homedir")
            .arg(home.path())
            .args(["--kill", "all"])
            .run(&Cancel::default());
    }

    fn verify_both(public: &str, signature: &str) {
        verify(public, b"sums\n", signature).unwrap();
        assert_eq!(verify(public, b"sumz\n", signature).unwrap_err().code, ErrorCode::Untrusted);
        assert!(verify(public, b"sums\n", "").is_err());
        assert!(verify("", b"sums\n", signature).is_err());
    }

    #[test]
    fn a_passphrase_is_needed_and_never_told() {
        let home = home();
        let secret = make(home.path(), "ed25519", "open sesame");
        let created = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        assert!(SecretKey::parse(&secret, Some(b"open sesame")).unwrap().sign(b"x", created).is_ok());
        let failure = SecretKey::parse(&secret, Some(b"guess")).unwrap().sign(b"x", created).unwrap_err();
        assert!(!format!("{failure:?}").contains("guess"));
        assert!(SecretKey::parse(b"junk", None).is_err());
        let _ = Process::new("gpgconf")
            .arg("--homedir")
            .arg(home.path())
            .args(["--kill", "all"])
            .run(&Cancel::default());
    }
}
