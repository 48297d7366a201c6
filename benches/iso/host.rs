//! What this host knows of package mirrors.

use bootwright::catalog;
use bootwright::model::Result;
use bootwright::model::failure::IoContext;
use bootwright::model::settings::Mirror;
use std::fs;
use std::path::PathBuf;

/// The mirrors of this host's own apt.
pub fn mirrors() -> Result<Vec<Mirror>> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    paths.extend(fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|e| e.path()));
    let mut texts = Vec::new();
    for path in paths.iter().filter(|p| p.is_file()) {
        let text = fs::read_to_string(path).during(|| format!("reading {}", path.display()))?;
        texts.push((path.to_string_lossy().into_owned(), text));
    }
    Ok(catalog::mirrors_from_apt(&texts))
}
