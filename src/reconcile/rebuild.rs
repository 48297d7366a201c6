//! Building a release again from what it recorded, in a clean place, to see whether the same
//! bytes come out.
//!
//! Nothing of the cache is taken but package files, whose digests are checked: a layer that
//! was wrong once would be wrong again.

use crate::build::Builder;
use crate::build::cache::Cache;
use crate::effects::files::{WorkFolder, link_or_copy, parent};
use crate::effects::{Cancel, Clock, Place, Task};
use crate::model::failure::IoContext;
use crate::model::rebuild::{Rebuild, RebuiltFile};
use crate::model::recipe::{BUILD_FORMAT, ResolvedRecipe};
use crate::model::release::{FileRole, Manifest};
use crate::model::settings::Mirror;
use crate::model::spec::Size;
use crate::model::{Artifact, Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use crate::release::store::inputs;
use crate::verify;
use std::path::{Path, PathBuf};

/// A release that is built again, and with what.
pub struct Rebuilding<'a> {
    /// The release's files.
    pub folder: &'a Place,
    /// Its manifest, which is trusted.
    pub manifest: &'a Manifest,
    /// SHA-256 of the manifest.
    pub digest: Digest,
    /// Gives package files and the place to work in.
    pub cache: &'a Cache,
    /// Where packages come from that the cache lacks.
    pub mirrors: &'a [Mirror],
    /// Space that must be free.
    pub min_free_space: Size,
    /// Gets the image files of this build, if they shall be kept.
    pub keep: Option<PathBuf>,
    /// Who builds, as a URI.
    pub builder: String,
    /// Whether the network may not be used.
    pub offline: bool,
    /// Runs downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// The time.
    pub clock: Clock,
}

impl Rebuilding<'_> {
    /// Builds and compares. That the bytes differ is an answer, not an error.
    ///
    /// # Errors
    /// *Untrusted* if the recorded inputs are not what the manifest lists; class *spec* if
    /// another program made the release; else what the build says.
    pub fn run(&self) -> Result<Rebuild> {
        let started = self.clock.now();
        let resolved = inputs::recorded(self.folder, self.manifest)?;
        self.same_format(&resolved)?;
        let work = WorkFolder::new(&self.cache.work(), "rebuild")?;
        let clean = Cache::open(&work.path().join("cache"))?;
        self.share_packages(&resolved, &clean)?;
        let out = match &self.keep {
            Some(folder) => folder.clone(),
            None => work.path().join("out"),
        };
        std::fs::create_dir_all(&out).during(|| format!("making {}", out.display()))?;
        let client = crate::effects::fetch::client()?;
        let builder = Builder {
            cache: &clean,
            mirrors: self.mirrors,
            client: &client,
            runtime: self.runtime,
            events: self.events,
            cancel: self.cancel,
            offline: self.offline,
        };
        let built = builder.build(&resolved, self.min_free_space, &out)?;
        let mut files = Vec::new();
        for artifact in &built.artifacts {
            files.push(self.compare(artifact, work.path())?);
        }
        Ok(Rebuild {
            image: self.manifest.image.clone(),
            version: self.manifest.version.clone(),
            manifest: self.digest,
            recipe: self.manifest.recipe,
            builder: self.builder.clone(),
            tool: crate::release::TOOL.to_owned(),
            started,
            finished: self.clock.now(),
            files,
        })
    }

    fn same_format(&self, resolved: &ResolvedRecipe) -> Result<()> {
        let format = resolved.recipe.build_format;
        if format == BUILD_FORMAT {
            return Ok(());
        }
        let (image, version) = (&self.manifest.image, &self.manifest.version);
        Err(Failure::new(
            ErrorCode::BuildEnvironment,
            FailureClass::Spec,
            format!("{image} {version} was built in format {format}, this program builds in {BUILD_FORMAT}"),
        )
        .hint(format!("Build it again with {}.", self.manifest.tool)))
    }

    /// The clean cache gets the package files that are here; their digests are checked when
    /// they are used.
    fn share_packages(&self, resolved: &ResolvedRecipe, clean: &Cache) -> Result<()> {
        let recipe = &resolved.recipe;
        for package in recipe.packages().chain(&recipe.boot_files) {
            let (from, to) = (self.cache.package(&package.sha256), clean.package(&package.sha256));
            if from.is_file() && !to.exists() {
                std::fs::create_dir_all(parent(&to))
                    .during(|| format!("making {}", parent(&to).display()))?;
                link_or_copy(&from, &to)?;
            }
        }
        Ok(())
    }

    fn compare(&self, rebuilt: &Artifact, scratch: &Path) -> Result<RebuiltFile> {
        let role = FileRole::Artifact(rebuilt.kind);
        let listed = self.manifest.files.iter().find(|f| f.role == role).ok_or_else(|| {
            Failure::untrusted(format!("the manifest lists no file for {}", rebuilt.path.display()))
        })?;
        let excused = self.manifest.not_reproducible.iter().find(|n| n.file == listed.name);
        let mut file = RebuiltFile {
            name: listed.name.clone(),
            published: listed.sha256,
            rebuilt: rebuilt.digest,
            excused: excused.map(|n| n.why.clone()),
            difference: None,
        };
        let published = self.folder.join(&listed.name);
        if !file.same() && published.look()?.is_some_and(|seen| seen.is_file()) {
            let task = Task::start(self.events, format!("compare {}", listed.name));
            file.difference = verify::difference(
                rebuilt.kind,
                published.local()?.path(),
                &rebuilt.path,
                scratch,
                self.cancel,
            )?;
            task.finish(file.difference.as_ref().map_or_else(
                || "the file in the store is not the published one".to_owned(),
                ToString::to_string,
            ));
        }
        Ok(file)
    }
}
