//! Private keys in files: read only where nobody but the owner can.

use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Reads the text of a private key of at most `limit` bytes. Its copy in memory is wiped when dropped.
///
/// # Errors
/// Class *host* if it cannot be read, is no file or too large, or others may read or write it.
pub fn read_private(path: &Path, limit: u64) -> Result<Zeroizing<String>> {
    let reading = || format!("reading {}", path.display());
    let file = File::open(path).during(|| format!("opening {}", path.display()))?;
    // Of the file that is open: another one may be in its place by now.
    let metadata = file.metadata().during(reading)?;
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
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(limit).unwrap_or(0) + 1));
    file.take(limit + 1).read_to_string(&mut text).during(reading)?;
    if text.len() as u64 > limit {
        return Err(Failure::host(format!("{} is too large for a key", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions, write};

    #[test]
    fn a_key_that_others_may_read_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, "secret").unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false), (0o644, false)]
        {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read_private(&path, 6);
            assert_eq!(read.is_ok(), is_read, "{mode:o}");
            assert!(read.err().is_none_or(|failure| failure.code == ErrorCode::Permission), "{mode:o}");
        }
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(read_private(&path, 5).unwrap_err().message.contains("too large"));
        assert!(read_private(dir.path(), 5).is_err() && read_private(&dir.path().join("none"), 5).is_err());
    }
}
