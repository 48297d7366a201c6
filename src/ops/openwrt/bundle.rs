//! `openwrt profiles export` and `import`: device profiles with all their files as one file,
//! for another catalog.

use super::profiles::{NewFile, Place, known, overlay_files};
use crate::catalog::files::FileKind;
use crate::effects::files::{read_if_exists, write_atomic};
use crate::model::catalog::DeviceDocument;
use crate::model::device::{DeviceName, DeviceProfile};
use crate::model::{Failure, Result};
use crate::ops::workspace::Workspace;
use crate::ops::{CatalogRef, Context};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The only form that there is.
const FORMAT: u32 = 1;
/// No bundle is longer, in bytes.
const LONGEST: u64 = 1 << 30;

/// Write device profiles into one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileExportRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Their names; all where it is empty.
    pub names: Vec<DeviceName>,
    /// The file.
    pub to: PathBuf,
}

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileExportReport {
    /// The file.
    pub to: PathBuf,
    /// The device profiles in it.
    pub profiles: Vec<DeviceName>,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Take device profiles from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileImportRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The file.
    pub from: PathBuf,
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileImportReport {
    /// The device profiles.
    pub profiles: Vec<DeviceName>,
    /// The files that were written, from the catalog's root.
    pub files: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    format: u32,
    profiles: Vec<Bundled>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundled {
    profile: DeviceProfile,
    /// Its overlay, and the files that it names.
    files: Vec<BundledFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BundledFile {
    /// From the catalog's root.
    path: String,
    kind: BundledKind,
    /// Its bytes, or a link's target, in base64.
    content: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum BundledKind {
    File,
    Executable,
    Link,
}

impl Bundled {
    fn of(document: &DeviceDocument) -> Self {
        let profile = document.profile.clone();
        let named = document.files.iter().map(|(path, bytes)| NewFile {
            path: path.clone(),
            kind: FileKind::Regular,
            bytes: bytes.to_vec(),
        });
        let files = overlay_files(&profile.metadata.name, document).into_iter().chain(named);
        let files = files.map(|file| BundledFile {
            path: file.path,
            kind: match file.kind {
                FileKind::Regular => BundledKind::File,
                FileKind::Executable => BundledKind::Executable,
                FileKind::Symlink => BundledKind::Link,
            },
            content: STANDARD.encode(file.bytes),
        });
        Self { files: files.collect(), profile }
    }

    /// Its files, as far as they may be its own.
    fn files(&self, from: &str) -> Result<Vec<NewFile>> {
        let name = &self.profile.metadata.name;
        let named: BTreeSet<&str> = self.profile.spec.files().map(|path| path.as_str()).collect();
        let overlay = format!("{}{name}/", crate::catalog::files::OVERLAYS);
        let file = |file: &BundledFile| {
            if !named.contains(file.path.as_str()) && !file.path.starts_with(&overlay) {
                return Err(Failure::spec(format!("{from}: {:?} is no file of {name}", file.path))
                    .hint(format!("A profile brings what it names, and what lies below {overlay}.")));
            }
            let bytes = STANDARD.decode(&file.content).map_err(|e| {
                Failure::spec(format!("{from}: the content of {:?} is no base64: {e}", file.path))
            })?;
            let kind = match file.kind {
                BundledKind::File => FileKind::Regular,
                BundledKind::Executable => FileKind::Executable,
                BundledKind::Link => FileKind::Symlink,
            };
            Ok(NewFile { path: file.path.clone(), kind, bytes })
        };
        self.files.iter().map(file).collect()
    }
}

/// Writes device profiles with all their files into one file.
///
/// # Errors
/// Class *spec* if there is no such profile; *host* if the file cannot be written.
pub fn profile_export(context: &Context, request: &ProfileExportRequest) -> Result<ProfileExportReport> {
    let catalog = Workspace::open(context, &request.catalog)?.catalog;
    let documents: Vec<&DeviceDocument> = match request.names.is_empty() {
        true => catalog.devices.values().collect(),
        false => {
            let names: BTreeSet<&DeviceName> = request.names.iter().collect();
            names.into_iter().map(|name| known(&catalog, name)).collect::<Result<_>>()?
        }
    };
    let profiles = documents.iter().map(|document| document.profile.metadata.name.clone()).collect();
    let bundle = Bundle { format: FORMAT, profiles: documents.into_iter().map(Bundled::of).collect() };
    let mut bytes = serde_json::to_vec_pretty(&bundle).map_err(|e| Failure::bug(e.to_string()))?;
    bytes.push(b'\n');
    let to = context.cwd.join(&request.to);
    write_atomic(&to, &bytes, 0o644)?;
    Ok(ProfileExportReport { to, profiles, bytes: bytes.len() as u64 })
}

/// Takes device profiles from a file: all of them, or none where one cannot be taken.
///
/// # Errors
/// Class *spec* if the file is none of ours, brings what is not its own, or if a file is in
/// the catalog with other bytes.
pub fn profile_import(context: &Context, request: &ProfileImportRequest) -> Result<ProfileImportReport> {
    let place = Place::open(context, &request.catalog)?;
    let from = context.cwd.join(&request.from);
    let shown = from.display().to_string();
    let bytes =
        read_if_exists(&from, LONGEST)?.ok_or_else(|| Failure::not_found(format!("{shown} is not there")))?;
    let bundle: Bundle = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::spec(format!("{shown} holds no exported device profiles: {e}"))
            .hint("Make it with `bootwright openwrt profiles export --to FILE`.")
    })?;
    if bundle.format != FORMAT {
        return Err(Failure::spec(format!(
            "{shown} is of form {}, and only {FORMAT} is read",
            bundle.format
        ))
        .hint("Export it with this version of bootwright."));
    }
    let (mut names, mut files) = (Vec::new(), Vec::new());
    for bundled in &bundle.profiles {
        names.push(bundled.profile.metadata.name.clone());
        files.extend(bundled.files(&shown)?);
        files.push(place.spec(&bundled.profile)?);
    }
    Ok(ProfileImportReport { profiles: names, files: place.add(files)? })
}
