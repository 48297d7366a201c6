//! Who vouches for a list of digests: OpenPGP and usign signatures of `sha256sums`.
//!
//! OpenPGP is judged by `gpg` in a home of its own and by what it says on its status stream:
//! `gpgv` takes expired and revoked keys for good, and so does the exit code of `gpg --verify`.
//! The system's clock decides what has expired.
//!
//! Formats: usign and signify write a comment line and then base64 of `Ed`, the key's id (8
//! bytes) and the key (32) or the Ed25519 signature of the file (64). GnuPG `doc/DETAILS`,
//! "Format of the --status-fd output".

use crate::effects::files::{read_if_exists, write_atomic};
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No key file is larger, in bytes.
const LONGEST_KEY: u64 = 1 << 20;
/// How long gpg may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the first line of a usign file begins with.
const COMMENT: &str = "untrusted comment:";
/// The only algorithm that there is.
const ED25519: &[u8] = b"Ed";

/// The public keys of which one must have signed.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    openpgp: Vec<(PathBuf, Vec<u8>)>,
    usign: Vec<UsignKey>,
    unsigned: bool,
}

/// A public key of usign or signify.
#[derive(Clone, Debug)]
struct UsignKey {
    id: [u8; 8],
    key: ed25519_dalek::VerifyingKey,
}

/// What lies beside a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signatures<'a> {
    /// `sha256sums.asc`.
    pub openpgp: Option<&'a [u8]>,
    /// `sha256sums.sig`.
    pub usign: Option<&'a [u8]>,
}

impl Keys {
    /// Reads key files.
    ///
    /// # Errors
    /// Class *spec* if one is no public key, *host* if it cannot be read.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut keys = Self::default();
        for path in paths {
            let bytes = read_if_exists(path, LONGEST_KEY)?
                .ok_or_else(|| Failure::not_found(format!("the key {} is not there", path.display())))?;
            if bytes.starts_with(COMMENT.as_bytes()) {
                keys.usign.push(UsignKey::parse(&bytes).map_err(|failure| failure.on(path.display()))?);
            } else if is_openpgp(&bytes) {
                keys.openpgp.push((path.clone(), bytes));
            } else {
                return Err(no_key(path));
            }
        }
        Ok(keys)
    }

    /// No keys: what nobody signed is taken.
    pub fn none() -> Self {
        Self { unsigned: true, ..Self::default() }
    }

    /// Whether what nobody signed is taken.
    pub fn take_unsigned(&self) -> bool {
        self.unsigned
    }

    /// Who signed `list`: `openpgp:<fingerprint>`, `usign:<id>`; nobody where that is taken.
    /// `home` is an empty folder for gpg.
    ///
    /// # Errors
    /// *Untrusted* if no good signature is there, or one that does not fit the list.
    pub fn judge(
        &self,
        list: &[u8],
        signatures: Signatures<'_>,
        home: &Path,
        cancel: &Cancel,
    ) -> Result<Vec<String>> {
        if self.unsigned {
            return Ok(Vec::new());
        }
        let (mut good, mut why) = (Vec::new(), Vec::new());
        let mut take = |name: &str, verdict: Result<Verdict>| -> Result<()> {
            match verdict? {
                Verdict::Good(by) => good.extend(by),
                Verdict::No(reason) => why.push(format!("{name}: {reason}")),
                // Whoever has another good key must not cover this up.
                Verdict::Bad(reason) => {
                    return Err(Failure::untrusted(format!("{name} is not a signature of this sha256sums"))
                        .details(reason)
                        .hint("The list was changed, or replaced: ask another mirror, and tell who runs this one."));
                }
            }
            Ok(())
        };
        if !self.usign.is_empty() {
            take("sha256sums.sig", Ok(self.usign(list, signatures.usign)))?;
        }
        if !self.openpgp.is_empty() {
            take("sha256sums.asc", self.openpgp(list, signatures.openpgp, home, cancel))?;
        }
        if !good.is_empty() {
            return Ok(good);
        }
        Err(Failure::untrusted("no key of `openwrt.keys` has signed sha256sums")
            .details(why.join("\n"))
            .hint("Check `openwrt.keys` in bootwright.yaml: branches and snapshots of OpenWrt have keys of their own, and old ones expire."))
    }

    fn usign(&self, list: &[u8], signature: Option<&[u8]>) -> Verdict {
        let Some(signature) = signature else { return Verdict::No("it is not there".to_owned()) };
        let Some(fields) = decode(signature, ED25519.len() + 8 + 64) else {
            return Verdict::No("it is no usign signature".to_owned());
        };
        let (id, signature) = fields[ED25519.len()..].split_at(8);
        // Several keys may have one id: nothing but chance keeps them apart.
        let mut keys = self.usign.iter().filter(|key| key.id == id).peekable();
        if keys.peek().is_none() {
            return Verdict::No(format!("it is by another key, {}", hex::encode(id)));
        }
        let fits = |key: &UsignKey| {
            let signature = ed25519_dalek::Signature::from_slice(signature);
            signature.is_ok_and(|signature| key.key.verify_strict(list, &signature).is_ok())
        };
        match keys.any(fits) {
            true => Verdict::Good(vec![format!("usign:{}", hex::encode(id))]),
            false => Verdict::Bad(format!("key {} did not sign these bytes", hex::encode(id))),
        }
    }

    fn openpgp(
        &self,
        list: &[u8],
        signature: Option<&[u8]>,
        home: &Path,
        cancel: &Cancel,
    ) -> Result<Verdict> {
        let Some(signature) = signature else { return Ok(Verdict::No("it is not there".to_owned())) };
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700))
            .during(|| format!("closing {}", home.display()))?;
        for (path, key) in &self.openpgp {
            let import = gpg(home).arg("--import").stdin(key.clone()).run(cancel)?;
            let taken = import.text().lines().any(|line| line.starts_with("[GNUPG:] IMPORT_OK "));
            if !taken {
                return Err(no_key(path).details(import.tail()));
            }
        }
        let (signed, beside) = (home.join("list"), home.join("list.asc"));
        write_atomic(&signed, list, 0o600)?;
        write_atomic(&beside, signature, 0o600)?;
        let said = gpg(home).arg("--verify").arg(&beside).arg(&signed).run(cancel)?;
        Ok(verdict(&said.text()))
    }
}

/// Whether a file can be an OpenPGP public key: in armour, or packets, whose first bit is set.
fn is_openpgp(bytes: &[u8]) -> bool {
    let armoured = bytes.trim_ascii_start().starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
    armoured || bytes.first().is_some_and(|byte| byte & 0x80 != 0)
}

fn no_key(path: &Path) -> Failure {
    Failure::spec(format!("{} is no public key", path.display()))
        .hint("Name files with OpenPGP or usign public keys in `openwrt.keys`.")
}

/// What a signature comes to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Keys that are trusted made it, over these bytes.
    Good(Vec<String>),
    /// It says nothing; why.
    No(String),
    /// A trusted key made it, over other bytes.
    Bad(String),
}

/// gpg that knows nothing but what is in `home`, starts no agent and asks nobody.
fn gpg(home: &Path) -> Process {
    Process::new("gpg")
        .args(["--batch", "--no-tty", "--no-options", "--no-autostart", "--no-auto-check-trustdb"])
        .args(["--trust-model", "always", "--weak-digest", "SHA1", "--status-fd", "1"])
        .arg("--homedir")
        .arg(home)
        .timeout(PATIENCE)
}

/// Reads gpg's status lines. Exactly one of the verdicts comes for each signature.
fn verdict(status: &str) -> Verdict {
    let (mut good, mut reasons, mut awaited) = (Vec::new(), Vec::new(), false);
    for line in status.lines() {
        let Some(line) = line.strip_prefix("[GNUPG:] ") else { continue };
        let mut words = line.split(' ');
        let (keyword, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match keyword {
            "NEWSIG" => awaited = false,
            "GOODSIG" => awaited = true,
            // The last word is the primary key's fingerprint, whichever subkey signed.
            "VALIDSIG" if awaited => {
                awaited = false;
                good.push(format!("openpgp:{}", line.rsplit(' ').next().unwrap_or(key)));
            }
            "BADSIG" => return Verdict::Bad(format!("key {key} did not sign these bytes")),
            "EXPKEYSIG" => reasons.push(format!("key {key} has expired")),
            "EXPSIG" => reasons.push(format!("the signature by key {key} has expired")),
            "REVKEYSIG" => reasons.push(format!("key {key} was revoked")),
            "ERRSIG" => reasons.push(format!("it is by another key, {key}, or cannot be checked")),
            "NODATA" => reasons.push("it is no OpenPGP signature".to_owned()),
            _ => {}
        }
    }
    match good.is_empty() {
        false => Verdict::Good(good),
        true if reasons.is_empty() => Verdict::No("it has no signature that can be checked".to_owned()),
        true => Verdict::No(reasons.join("; ")),
    }
}

impl UsignKey {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let refused = || {
            Failure::spec("not a usign or signify public key")
                .hint("A public key has two lines: a comment, and 56 letters of base64 that begin with RW.")
        };
        let fields = decode(bytes, ED25519.len() + 8 + 32).ok_or_else(refused)?;
        let (id, key) = fields[ED25519.len()..].split_at(8);
        let id = id.try_into().map_err(|_| refused())?;
        let key = key.try_into().map_err(|_| refused())?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| refused())?;
        Ok(Self { id, key })
    }
}

/// The fields behind the comment of a usign file, which must have `length` bytes.
fn decode(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (comment, rest) = text.split_once('\n')?;
    let fields = STANDARD.decode(rest.trim_end()).ok()?;
    (comment.starts_with(COMMENT) && fields.len() == length && fields.starts_with(ED25519)).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;
    use ed25519_dalek::{Signer, SigningKey};

    fn text(fields: &[&[u8]]) -> Vec<u8> {
        format!("untrusted comment: x\n{}\n", STANDARD.encode(fields.concat())).into_bytes()
    }

    fn usign(keys: &[UsignKey], list: &[u8], signature: &[u8]) -> Result<Vec<String>> {
        let keys = Keys { usign: keys.to_vec(), ..Keys::default() };
        let signatures = Signatures { usign: Some(signature), openpgp: None };
        keys.judge(list, signatures, Path::new("/nonexistent"), &Cancel::default())
    }

    #[test]
    fn usign_ids_and_bytes_are_compared() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let public = secret.verifying_key();
        let keys = [UsignKey::parse(&text(&[b"Ed", b"idididid", public.as_bytes()])).unwrap()];
        let signed = secret.sign(b"list").to_bytes();
        let good = text(&[b"Ed", b"idididid", &signed]);
        assert_eq!(usign(&keys, b"list", &good).unwrap(), ["usign:6964696469646964"]);
        let failure = usign(&keys, b"lisT", &good).unwrap_err();
        assert!(failure.message.contains("not a signature of this"), "{failure}");
        // The right key under another id is another key.
        let other_id = text(&[b"Ed", b"IDididid", &signed]);
        let failure = usign(&keys, b"list", &other_id).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Untrusted);
        assert!(failure.details.unwrap().contains("another key"));
        // Another key under the right id.
        let forged = SigningKey::from_bytes(&[8; 32]).sign(b"list").to_bytes();
        assert!(usign(&keys, b"list", &text(&[b"Ed", b"idididid", &forged])).is_err());
        for broken in [&b""[..], b"<html>", &good[21..], &text(&[b"Xx", b"idididid", &signed]), &good[..60]] {
            assert_eq!(usign(&keys, b"list", broken).unwrap_err().code, ErrorCode::Untrusted);
        }
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for bad in [
            text(&[b"Ed", b"idididid", &[1; 31]]),
            text(&[b"Ed", &[0; 102]]),
            b"untrusted comment: x".to_vec(),
        ] {
            assert!(UsignKey::parse(&bad).is_err());
        }
        assert!(Keys::read(&[PathBuf::from("/nonexistent/key")]).is_err());
    }

    #[test]
    fn unsigned_is_only_taken_where_it_is_wished() {
        let judge = |keys: Keys| {
            keys.judge(b"list", Signatures::default(), Path::new("/nonexistent"), &Cancel::default())
        };
        assert_eq!(judge(Keys::none()).unwrap(), Vec::<String>::new());
        assert_eq!(judge(Keys::default()).unwrap_err().code, ErrorCode::Untrusted);
    }

    #[test]
    fn status_lines_decide() {
        let valid = "[GNUPG:] VALIDSIG SUB 2026-01-01 1 0 4 0 22 10 00 PRIMARY\n";
        let good = format!("[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG KEY a <b>\n{valid}");
        assert_eq!(verdict(&good), Verdict::Good(vec!["openpgp:PRIMARY".to_owned()]));
        for no in ["EXPKEYSIG", "EXPSIG", "REVKEYSIG"] {
            // gpg calls these valid too.
            let status = format!("[GNUPG:] NEWSIG\n[GNUPG:] {no} KEY a\n{valid}");
            assert!(matches!(verdict(&status), Verdict::No(_)), "{no}");
        }
        assert!(matches!(verdict(&format!("{good}[GNUPG:] BADSIG KEY a\n")), Verdict::Bad(_)));
        assert!(matches!(verdict(valid), Verdict::No(_)));
        assert!(matches!(verdict(""), Verdict::No(_)));
        // A name that pretends to be a status line is on the line of another.
        assert!(matches!(verdict("[GNUPG:] EXPKEYSIG K %0A[GNUPG:] GOODSIG K\n"), Verdict::No(_)));
    }
}
