//! What a finished root filesystem holds, for the rules of policies.

use super::cache::Cache;
use super::entry::Kind;
use super::stack::{Stack, StackedLayer};
use super::union;
use crate::effects::Cancel;
use crate::model::Result;
use crate::model::artifact::BuiltLayer;
use crate::model::policy::{Content, ContentEntry, ContentKind};
use std::path::Path;

/// No account file is larger, in bytes.
const LIMIT: u64 = 4 << 20;

/// Looks at every name of the layers, stacked as they are in the image.
///
/// # Errors
/// If a layer cannot be read, or somebody asked to stop.
pub fn of_layers(folders: &[&Path], cancel: &Cancel) -> Result<Content> {
    let layers = folders.iter().enumerate().map(|(number, folder)| StackedLayer {
        name: number.to_string(),
        id: crate::model::recipe::LayerId(crate::model::Digest::of(number.to_string())),
        epoch: i64::MAX,
        folder: (*folder).to_owned(),
        cached: true,
        size: 0,
    });
    let stack = Stack { layers: layers.collect(), epoch: i64::MAX, cache: Path::new("").to_owned() };
    let mut entries = Vec::new();
    for found in union::walk(&stack) {
        cancel.check()?;
        let entry = found?.entry;
        if entry.path.as_os_str().is_empty() {
            continue;
        }
        let kind = match entry.kind {
            Kind::Folder { .. } => ContentKind::Folder,
            Kind::File { .. } => ContentKind::File,
            Kind::Symlink { .. } => ContentKind::Symlink,
            Kind::Device { .. } | Kind::Fifo | Kind::Socket => ContentKind::Special,
            Kind::Whiteout => continue,
        };
        // A name that is no UTF-8 cannot be meant by a rule, but its mode can.
        entries.push(ContentEntry { path: format!("/{}", entry.path.display()), kind, mode: entry.mode });
    }
    let text = |path: &str| -> Result<Option<String>> {
        Ok(union::read(&stack, path, LIMIT)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    Ok(Content { entries, passwd: text("etc/passwd")?, shadow: text("etc/shadow")? })
}

/// As [`of_layers`], for the layers of a build that is still in the cache.
///
/// # Errors
/// As [`of_layers`].
pub fn of_build(cache: &Cache, layers: &[BuiltLayer], cancel: &Cancel) -> Result<Content> {
    let folders: Vec<_> = layers.iter().map(|layer| cache.layer(&layer.id).join("root")).collect();
    of_layers(&folders.iter().map(std::path::PathBuf::as_path).collect::<Vec<_>>(), cancel)
}
