//! `rebuild`: a release built again from what it recorded, and the signed verdict.

use super::openwrt;
use super::reconciling::publishing;
use super::releases::{Keys, open, version};
use super::trust::of_files;
use super::workspace::{Workspace, runtime};
use super::{Context, RebuildReport, RebuildRequest, VerifyTarget};
use crate::build::cache::Cache;
use crate::effects::Place;
use crate::model::release::Manifest;
use crate::model::{Failure, Result};
use crate::reconcile::rebuild::Rebuilding;
use crate::release::store::check;
use crate::release::{Store, rebuild};

/// Where the verdict goes.
enum Target {
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
    let (folder, manifest, target) = find(context, &workspace, &request)?;
    let cache = Cache::open(&workspace.cache_folder())?;
    let rebuilding = Rebuilding {
        digest: folder.join(check::MANIFEST).digest()?.0,
        folder: &folder,
        manifest: &manifest,
        cache: &cache,
        mirrors: &workspace.mirrors(),
        min_free_space: workspace.settings().build.min_free_space,
        keep: request.keep.map(|path| context.cwd.join(path)),
        builder: publishing.as_ref().map_or_else(String::new, |p| p.builder.clone()),
        offline: context.offline,
        runtime: runtime.handle(),
        events: &context.events,
        cancel: &context.cancel,
        clock: context.clock,
    };
    let verdict = match manifest.system.firmware() {
        Some(_) => {
            let place = openwrt::Place::open(context, &workspace)?;
            rebuilding.firmware(&place.upstream(context, &workspace)?)?
        }
        None => rebuilding.run()?,
    };
    let mut written = None;
    if let Some(publishing) = &publishing {
        let line = rebuild::seal(&verdict, &publishing.signers.all())?;
        match target {
            Target::Store(store) => store.add_rebuild(&manifest.image, &manifest.version, &line)?,
            Target::Folder => rebuild::add(&folder, &line)?,
        }
        written = Some(folder.join(rebuild::FILE_NAME).to_string().into());
    }
    Ok(RebuildReport { reproduced: verdict.reproduced(), verdict, written })
}

/// The files of the release, their manifest once it is trusted, and where the verdict goes.
fn find(
    context: &Context,
    workspace: &Workspace,
    request: &RebuildRequest,
) -> Result<(Place, Manifest, Target)> {
    match &request.target {
        VerifyTarget::Release(release) => {
            let keys = Keys { files: &request.keys, threshold: request.threshold };
            let opened = open(context, &request.catalog, request.store.as_deref(), &keys)?;
            let version = version(&opened.store.index(&opened.keys)?, release)?;
            let manifest = opened.store.manifest(&release.image, &version, &opened.keys)?;
            Ok((opened.store.folder(&release.image, &version), manifest, Target::Store(opened.store)))
        }
        VerifyTarget::Registry(image) => {
            Err(Failure::spec(format!("{image} is built again from its release"))
                .hint("`bootwright release verify oci://…` says which release it is; name that."))
        }
        VerifyTarget::Folder(folder) => {
            let folder = context.cwd.join(folder);
            let keys = match of_files(context, &request.keys, request.threshold)? {
                Some(keys) => keys,
                None => workspace.trust(context.clock.now())?,
            };
            let checked = check::examine_folder(&folder, &keys)?;
            let manifest = checked.manifest.ok_or_else(|| {
                let why: Vec<String> = checked.defects.iter().map(ToString::to_string).collect();
                Failure::untrusted(format!("{} is no release that can be trusted", folder.display()))
                    .details(why.join("\n"))
                    .hint("Fetch it again with `bootwright release fetch`.")
            })?;
            Ok((Place::folder(folder), manifest, Target::Folder))
        }
    }
}
