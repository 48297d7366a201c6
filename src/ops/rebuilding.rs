//! `rebuild`: a release built again from what it recorded, and the signed verdict.

use super::reconciling::publishing;
use super::releases::{open, version};
use super::workspace::{Workspace, read_key, runtime};
use super::{Context, RebuildReport, RebuildRequest, VerifyTarget};
use crate::build::cache::Cache;
use crate::effects::files::digest_file;
use crate::model::release::Manifest;
use crate::model::{Failure, Result};
use crate::reconcile::rebuild::Rebuilding;
use crate::release::store::check;
use crate::release::{Store, rebuild};
use std::path::PathBuf;

/// Where the verdict goes.
enum Place {
    /// A release in its store.
    Store(Store),
    /// A copy of its files.
    Folder,
}

/// Builds a release again in a clean place, compares, and adds the signed verdict to the
/// release. Other bytes are an answer, not an error.
///
/// # Errors
/// *Untrusted* if the release is not what was signed; class *spec* if it cannot be built by
/// this program; else what the build says.
pub fn rebuild(context: &Context, request: RebuildRequest) -> Result<RebuildReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let runtime = runtime()?;
    // Before minutes of building: can the verdict be signed at all?
    let publishing = match request.unsigned {
        true => None,
        false => Some(publishing(context, &workspace, &runtime)?),
    };
    let (folder, manifest, place) = find(context, &workspace, &request)?;
    let cache = Cache::open(&workspace.cache_folder())?;
    let verdict = Rebuilding {
        digest: digest_file(&folder.join(check::MANIFEST))?.0,
        folder: &folder,
        manifest: &manifest,
        cache: &cache,
        mirrors: &workspace.mirrors(),
        min_free_space: workspace.settings().build.min_free_space,
        keep: request.keep.map(|path| context.cwd.join(path)),
        builder: publishing.as_ref().map_or_else(String::new, |p| p.builder.clone()),
        runtime: runtime.handle(),
        events: &context.events,
        cancel: &context.cancel,
        clock: context.clock,
    }
    .run()?;
    let mut written = None;
    if let Some(publishing) = &publishing {
        let line = rebuild::seal(&verdict, &publishing.signers.key)?;
        match place {
            Place::Store(store) => store.add_rebuild(&manifest.image, &manifest.version, &line)?,
            Place::Folder => rebuild::add(&folder, &line)?,
        }
        written = Some(folder.join(rebuild::FILE_NAME));
    }
    Ok(RebuildReport { reproduced: verdict.reproduced(), verdict, written })
}

/// The files of the release, their manifest once it is trusted, and where the verdict goes.
fn find(
    context: &Context,
    workspace: &Workspace,
    request: &RebuildRequest,
) -> Result<(PathBuf, Manifest, Place)> {
    match &request.target {
        VerifyTarget::Release(release) => {
            let opened = open(context, &request.catalog, request.store.as_deref(), &request.keys)?;
            let version = version(&opened.store.index(&opened.keys)?, release)?;
            let manifest = opened.store.manifest(&release.image, &version, &opened.keys)?;
            Ok((opened.store.folder(&release.image, &version), manifest, Place::Store(opened.store)))
        }
        VerifyTarget::Folder(folder) => {
            let folder = context.cwd.join(folder);
            let keys = match request.keys.is_empty() {
                true => workspace.keys()?,
                false => {
                    request.keys.iter().map(|p| read_key(&context.cwd.join(p))).collect::<Result<_>>()?
                }
            };
            let (manifest, defects) = check::verify_folder(&folder, &keys)?;
            let manifest = manifest.ok_or_else(|| {
                let why: Vec<String> = defects.iter().map(ToString::to_string).collect();
                Failure::untrusted(format!("{} is no release that can be trusted", folder.display()))
                    .details(why.join("\n"))
                    .hint("Fetch it again with `bootwright release fetch`.")
            })?;
            Ok((folder, manifest, Place::Folder))
        }
    }
}
