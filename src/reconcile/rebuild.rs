//! Building a release again from what it recorded, in a clean place, to see whether the same
//! bytes come out.
//!
//! Nothing of the cache is taken but package files, whose digests are checked: a layer that
//! was wrong once would be wrong again.

use super::upstream::Upstream;
use crate::build::Builder;
use crate::build::cache::Cache;
use crate::build::openwrt::{Firmwares, copy_packages};
use crate::effects::files::{WorkFolder, digest_file, link_or_copy, parent};
use crate::effects::{Cancel, Clock, Place, Task};
use crate::model::failure::IoContext;
use crate::model::firmware::FIRMWARE_FORMAT;
use crate::model::openwrt::BuilderId;
use crate::model::rebuild::{Rebuild, RebuiltFile};
use crate::model::recipe::{BUILD_FORMAT, ResolvedRecipe};
use crate::model::release::{FileRole, Manifest, ReleaseFile};
use crate::model::settings::Mirror;
use crate::model::spec::Size;
use crate::model::{Artifact, ArtifactKind, Digest, Emitter, ErrorCode, Failure, FailureClass, Result};
use crate::release::store::inputs;
use crate::verify;
use chrono::{DateTime, Utc};
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
        self.same_format(resolved.recipe.build_format, BUILD_FORMAT)?;
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
            let role = FileRole::Artifact(artifact.kind);
            let listed = self.manifest.files.iter().find(|f| f.role == role);
            files.push(self.compare(artifact, listed, work.path())?);
        }
        Ok(self.verdict(started, files))
    }

    /// The same for a firmware: with the Image Builder of its lock, in a clean place. An image that ends
    /// with a signature by a key that is made for each build counts as the same if all before it is.
    ///
    /// # Errors
    /// As [`Self::run`]; class *upstream* if neither cache nor server has the Image Builder any more.
    pub fn firmware(&self, upstream: &Upstream<'_>) -> Result<Rebuild> {
        let started = self.clock.now();
        let resolved = inputs::recorded_firmware(self.folder, self.manifest)?;
        let recipe = &resolved.order.recipe;
        self.same_format(recipe.format, FIRMWARE_FORMAT)?;
        let published = self.manifest.system.firmware();
        let id = BuilderId::new(recipe.release.clone(), recipe.platform.clone())?;
        let builder = upstream.exactly(&id, recipe.builder)?;
        let work = WorkFolder::new(&self.cache.work(), "rebuild")?;
        let clean = Cache::open(&work.path().join("cache"))?;
        // Their package manager looks at their digests again.
        let (from, to) =
            (self.cache.openwrt_packages(&recipe.builder), clean.openwrt_packages(&recipe.builder));
        std::fs::create_dir_all(&to).during(|| format!("making {}", to.display()))?;
        copy_packages(&from, &to)?;
        let firmwares = Firmwares { cache: &clean, ..upstream.firmwares() };
        let firmware = firmwares.build(&resolved, &builder, false, started)?;
        let mut files = Vec::new();
        for image in &firmware.record.images {
            let path = firmware.root.join(&image.name);
            if let Some(folder) = &self.keep {
                std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
                link_or_copy(&path, &folder.join(&image.name))?;
            }
            let (digest, size) = digest_file(&path)?;
            let artifact = Artifact { kind: ArtifactKind::Firmware, path, digest, size };
            let listed = self.manifest.files.iter().find(|file| file.name == image.name);
            let mut file = self.compare(&artifact, listed, work.path())?;
            let before = published.and_then(|facts| facts.images.iter().find(|i| i.name == image.name));
            if before.is_none_or(|before| before.sha256_unsigned != image.sha256_unsigned) {
                file.excused = None;
            }
            files.push(file);
        }
        Ok(self.verdict(started, files))
    }

    fn verdict(&self, started: DateTime<Utc>, files: Vec<RebuiltFile>) -> Rebuild {
        Rebuild {
            image: self.manifest.image.clone(),
            version: self.manifest.version.clone(),
            manifest: self.digest,
            recipe: self.manifest.recipe,
            builder: self.builder.clone(),
            tool: crate::release::TOOL.to_owned(),
            started,
            finished: self.clock.now(),
            files,
        }
    }

    fn same_format(&self, format: u32, ours: u32) -> Result<()> {
        if format == ours {
            return Ok(());
        }
        let (image, version) = (&self.manifest.image, &self.manifest.version);
        Err(Failure::new(
            ErrorCode::BuildEnvironment,
            FailureClass::Spec,
            format!("{image} {version} was built in format {format}, this program builds in {ours}"),
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

    fn compare(
        &self,
        rebuilt: &Artifact,
        listed: Option<&ReleaseFile>,
        scratch: &Path,
    ) -> Result<RebuiltFile> {
        let listed = listed.ok_or_else(|| {
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
