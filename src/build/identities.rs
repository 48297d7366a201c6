//! What packages' own scripts make for one machine at installation: databases with an identity
//! and passwords, keys. On all machines of an image it would be the same, and at each build
//! another; it goes, and the machine makes its own at its first start.

use crate::effects::files::remove_tree;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::path::{Path, PathBuf};

/// Folders that lose what is so many steps below them: PostgreSQL's clusters are
/// `VERSION/NAME`, with settings beside the data.
const LOSE: [(&str, usize); 3] = [("var/lib/postgresql", 2), ("etc/postgresql", 2), ("var/lib/mysql", 1)];

/// The self-signed certificate of the package `ssl-cert`, and its key.
const CERTIFICATE: &str = "ssl-cert-snakeoil.pem";

/// Drops them from what a step of packages made.
///
/// # Errors
/// If something of it cannot be removed.
pub fn forget(upper: &Path) -> Result<()> {
    for (folder, depth) in LOSE {
        for path in below(&upper.join(folder), depth)? {
            remove(&path)?;
        }
    }
    remove(&upper.join("etc/ssl/private/ssl-cert-snakeoil.key"))?;
    for path in below(&upper.join("etc/ssl/certs"), 1)? {
        let link = std::fs::read_link(&path).unwrap_or_default();
        if path.ends_with(CERTIFICATE) || link == Path::new(CERTIFICATE) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// What lies so many steps below a folder; links are not followed.
fn below(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    if !folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).during(|| format!("reading {}", folder.display()))? {
        let path = entry.during(|| format!("reading {}", folder.display()))?.path();
        if depth > 1 {
            found.extend(below(&path, depth - 1)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => remove_tree(path),
        Ok(_) => std::fs::remove_file(path).during(|| format!("removing {}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Failure::io(format!("looking at {}", path.display()), &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn clusters_and_keys_go_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        let gone = [
            "var/lib/postgresql/15/main/PG_VERSION",
            "etc/postgresql/15/main/postgresql.conf",
            "var/lib/mysql/ibdata1",
            "etc/ssl/private/ssl-cert-snakeoil.key",
            "etc/ssl/certs/ssl-cert-snakeoil.pem",
        ];
        let kept = ["etc/postgresql-common/createcluster.conf", "etc/ssl/certs/real.pem", "etc/mysql/my.cnf"];
        gone.iter().chain(&kept).for_each(|path| put(path));
        let certs = root.path().join("etc/ssl/certs");
        symlink("ssl-cert-snakeoil.pem", certs.join("12345678.0")).unwrap();
        symlink("real.pem", certs.join("87654321.0")).unwrap();
        // A link out of the root is removed, not followed.
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("main"), "x").unwrap();
        symlink(outside.path(), root.path().join("var/lib/postgresql/16")).unwrap();
        forget(root.path()).unwrap();
        assert!(gone.iter().all(|path| !root.path().join(path).exists()));
        assert!(kept.iter().all(|path| root.path().join(path).exists()));
        assert!(!certs.join("12345678.0").is_symlink() && certs.join("87654321.0").is_symlink());
        assert!(outside.path().join("main").exists());
        assert!(root.path().join("var/lib/mysql").is_dir());
    }
}
