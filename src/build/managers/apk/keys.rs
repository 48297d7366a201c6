//! Whom apk trusts: a folder of RSA public keys in PEM, named as signatures name them.

use crate::build::managers::outside;
use crate::effects::files::write_atomic;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The keys of a mirror's `keyring`, a folder or one key, by their names.
fn read(keyring: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let path = Path::new(keyring);
    let mut keys = BTreeMap::new();
    for (file, bytes) in outside::key_files(keyring)? {
        if file == path || file.extension().is_some_and(|e| e == "pub") {
            keys.insert(file.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes);
        }
    }
    Ok(keys)
}

/// Writes the keys of the `i`th keyring into `folder`.
///
/// # Errors
/// Class *spec* if it has none, or two keyrings have different keys of one name.
pub(super) fn write(keyring: &str, folder: &Path, i: usize) -> Result<()> {
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    let keys = read(keyring)?;
    if keys.is_empty() || !keys.values().all(|key| key.starts_with(b"-----BEGIN PUBLIC KEY-----")) {
        return Err(Failure::spec("a mirror's keyring has no RSA public keys in PEM").hint(
            "Set `keyring:` of the mirror in bootwright.yaml to a folder of apk's keys: NAME.rsa.pub.",
        ));
    }
    for (name, key) in keys {
        let path = folder.join(&name);
        if i > 0
            && path.exists()
            && std::fs::read(&path).during(|| format!("reading {}", path.display()))? != key
        {
            return Err(Failure::spec(format!("two keyrings have different keys of the name {name}")));
        }
        write_atomic(&path, &key, 0o644)?;
    }
    Ok(())
}

/// The digest of a keyring.
///
/// # Errors
/// If it cannot be read.
pub(super) fn digest(keyring: &str) -> Result<Digest> {
    let keys: Vec<(String, Digest)> =
        read(keyring)?.into_iter().map(|(name, key)| (name, Digest::of(&key))).collect();
    Ok(Digest::of_json(&keys))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_folder_or_one_file_is_a_keyring() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let key = keys.join("a@example-1.rsa.pub");
        let write = |to: &str| super::write(keys.join(to).to_str().unwrap(), &folder.path().join("out"), 0);
        assert!(write("").is_err(), "no key");
        std::fs::write(&key, "-----BEGIN PUBLIC KEY-----\n").unwrap();
        std::fs::write(keys.join("README"), "no key").unwrap();
        write("").unwrap();
        write("a@example-1.rsa.pub").unwrap();
        assert!(write("README").is_err());
        let names = std::fs::read_dir(folder.path().join("out")).unwrap().count();
        assert_eq!(names, 1);
    }
}
