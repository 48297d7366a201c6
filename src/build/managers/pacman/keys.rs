//! Whom pacman trusts: a GnuPG home made from the mirror's keyring and nothing else.
//!
//! pacman wants signatures of keys that GnuPG holds for valid. With a plain keyring every key
//! in it is. A distribution's keyring package brings more, beside `NAME.gpg`: `NAME-trusted`
//! (owner trust) and `NAME-revoked` (man pacman-key, "--populate"); then the trusted keys
//! vouch for the others, and the revoked ones count for nothing.

use crate::effects::{Cancel, Output, Process, Sandbox};
use crate::model::failure::IoContext;
use crate::model::{Failure, FailureClass, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where a tool sees the home.
pub(in crate::build::managers) const HOME: &str = "/run/keys";

/// What lies beside a keyring.
#[derive(Default)]
pub(in crate::build::managers) struct Beside {
    /// Lines `FINGERPRINT:TRUST:`.
    pub trusted: Option<String>,
    /// One fingerprint a line.
    pub revoked: String,
}

impl Beside {
    /// Reads what lies beside a keyring.
    pub(in crate::build::managers) fn read(keyring: &Path) -> Result<Self> {
        let read = |suffix: &str| -> Result<Option<String>> {
            let Some(stem) = keyring.to_str().and_then(|k| k.strip_suffix(".gpg")) else { return Ok(None) };
            let bytes =
                crate::effects::files::read_if_exists(Path::new(&format!("{stem}-{suffix}")), 1 << 20)?;
            Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(Self { trusted: read("trusted")?, revoked: read("revoked")?.unwrap_or_default() })
    }
}

/// Fills an empty folder of the host with a GnuPG home.
///
/// # Errors
/// Class *spec* if the keyring has no key.
pub(in crate::build::managers) fn make(
    home: &Path,
    sandbox: &Sandbox,
    keyring: &[u8],
    beside: &Beside,
    cancel: &Cancel,
) -> Result<()> {
    let during = || format!("making {}", home.display());
    std::fs::create_dir_all(home).during(during)?;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).during(during)?;
    // pacman looks for this file; GnuPG would make `pubring.kbx` in its place.
    std::fs::write(home.join("pubring.gpg"), "").during(during)?;
    let sandbox = sandbox.clone().bind_writable(home, HOME);
    let gpg = || -> Result<Process> {
        Ok(sandbox.tool("/usr/bin/gpg")?.args(["--homedir", HOME, "--batch", "--no-tty"]))
    };
    // Its exit says no more than that some key of many is odd: what came in is looked at.
    let imported = gpg()?.arg("--import").stdin(keyring).run(cancel)?;
    let listed = gpg()?.args(["--with-colons", "--list-keys"]).check(cancel)?.text();
    let keys = fingerprints(&listed);
    if keys.is_empty() {
        return Err(no_key(&imported));
    }
    let trust = match &beside.trusted {
        None => every_key(&keys),
        Some(trusted) => {
            vouch(&gpg, trusted, &keys, cancel)?;
            trusted.clone()
        }
    };
    gpg()?.arg("--import-ownertrust").stdin(trust).check(cancel)?;
    for key in beside.revoked.lines().map(str::trim).filter(|key| keys.iter().any(|k| k == key)) {
        gpg()?.args(["--yes", "--delete-keys", key]).check(cancel)?;
    }
    gpg()?.arg("--check-trustdb").check(cancel).map(drop)
}

fn no_key(imported: &Output) -> Failure {
    if imported.host_trouble().is_some() {
        return imported.failure();
    }
    Failure::spec("a mirror's keyring has no OpenPGP key")
        .details(imported.tail())
        .hint("Set `keyring:` of the mirror in bootwright.yaml to a file of public keys.")
}

/// Has a key of our own say that the trusted keys are whom they say they are. It signs nothing
/// else and never leaves this host.
fn vouch(gpg: &impl Fn() -> Result<Process>, trusted: &str, keys: &[String], cancel: &Cancel) -> Result<()> {
    let no_phrase = ["--pinentry-mode", "loopback", "--passphrase", ""];
    gpg()?
        .args(no_phrase)
        .args(["--quick-generate-key", "bootwright (whom this host trusts)", "ed25519", "sign", "never"])
        .check(cancel)?;
    for key in trusted.lines().filter_map(|line| line.split(':').next()).map(str::trim) {
        if keys.iter().any(|k| k == key) {
            let signed = gpg()?.args(no_phrase).args(["--yes", "--quick-lsign-key", key]).run(cancel)?;
            // A trusted key that has expired cannot be signed, and vouches for nobody.
            if !signed.status.success() && signed.failure().class == FailureClass::Host {
                return Err(signed.failure());
            }
        }
    }
    Ok(())
}

/// The fingerprints of the primary keys in `gpg --with-colons --list-keys` (doc/DETAILS).
fn fingerprints(listed: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut is_primary = false;
    for line in listed.lines() {
        let mut fields = line.split(':');
        match fields.next() {
            Some("pub") => is_primary = true,
            Some("fpr") if is_primary => {
                keys.extend(fields.nth(8).map(str::to_owned));
                is_primary = false;
            }
            _ => {}
        }
    }
    keys
}

/// Owner trust for a plain keyring: every key in it.
fn every_key(keys: &[String]) -> String {
    keys.iter().map(|key| format!("{key}:6:\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_keys_are_trusted_and_no_subkeys() {
        let listed = "tru::1:1795264598:0:3:1:5\npub:u:3072:1:CE142C9674D84659:1795264598:::u:::scSC::::::23::0:\n\
            fpr:::::::::C7D1D277532B6E3309F84660CE142C9674D84659:\nuid:u::::1795264598::0::a::::::::::0:\n\
            sub:u:3072:1:1111111111111111:1795264598::::::s::::::23:\n\
            fpr:::::::::1111111111111111111111111111111111111111:\n";
        let keys = fingerprints(listed);
        assert_eq!(keys, ["C7D1D277532B6E3309F84660CE142C9674D84659"]);
        assert_eq!(every_key(&keys), "C7D1D277532B6E3309F84660CE142C9674D84659:6:\n");
    }
}
