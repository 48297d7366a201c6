//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.
//!
//! [`Builder::build`] goes from a recipe to artifacts. Everything that it makes on the way
//! is kept in the [`cache::Cache`] under the identity of what shaped it, so that a build
//! that was killed goes on where it stopped, and a changed line costs what it touches.

pub mod archive;
mod boot_files;
pub mod cache;
mod configuration;
pub mod containerfile;
pub mod content;
mod derived;
pub mod disk;
pub mod entry;
mod homes;
mod identities;
pub mod index;
pub mod initramfs;
pub mod iso;
pub mod layers;
pub mod managers;
mod normalise;
pub mod oci;
pub mod openwrt;
pub mod packages;
pub mod registry;
pub mod root_files;
pub mod rootfs;
pub mod squashfs;
pub mod stack;
pub mod union;

use crate::effects::Cancel;
use crate::effects::files::{WorkFolder, free_space};
use crate::model::artifact::{Built, BuiltLayer, InstalledPackage};
use crate::model::failure::IoContext;
use crate::model::lock::LockRequest;
use crate::model::name::ImageName;
use crate::model::recipe::ResolvedRecipe;
use crate::model::settings::Mirror;
use crate::model::spec::{Output, Size};
use crate::model::{Artifact, ArtifactKind, Emitter, ErrorCode, Failure, FailureClass, Lock, Recipe, Result};
use crate::tables::{self, Live};
use cache::Cache;
use layers::LayerBuilder;
use packages::Packages;
use stack::{Kernel, Stack, StackedLayer};
use std::path::Path;

/// The layer that brings the kernel: the initramfs is begun when it is there.
const KERNEL_LAYER: &str = "kernel";

/// Makes locks and artifacts.
pub struct Builder<'a> {
    /// Where everything is kept.
    pub cache: &'a Cache,
    /// Where packages come from.
    pub mirrors: &'a [Mirror],
    /// HTTP.
    pub client: &'a reqwest::Client,
    /// Runs downloads.
    pub runtime: &'a tokio::runtime::Handle,
    /// Where progress goes.
    pub events: &'a Emitter,
    /// A wish to stop.
    pub cancel: &'a Cancel,
    /// Nothing may be asked of the network.
    pub offline: bool,
}

impl Builder<'_> {
    /// Resolves the packages that `request` asks for. Of a mirror's addresses, those that are
    /// older than `before` are passed over.
    ///
    /// # Errors
    /// As [`managers::Manager::lock`], and if no mirror serves the distribution.
    pub fn lock(&self, image: &ImageName, request: &LockRequest, before: Option<&Lock>) -> Result<Lock> {
        let state = self.cache.apt(&cache::needs::index_key(request, self.mirrors));
        let _held = crate::effects::files::FileLock::take(&cache::lock_of(&state))?;
        std::fs::create_dir_all(&state).during(|| format!("making {}", state.display()))?;
        cache::stamp(&state)?;
        let before = before.map_or(&[][..], |lock| &lock.indexes);
        managers::lock(self, image, request, before, &state)
    }

    /// Builds all outputs of a recipe into the folder `out`.
    ///
    /// # Errors
    /// The first step that fails; what was finished stays in the cache for the next try.
    pub fn build(&self, resolved: &ResolvedRecipe, min_free_space: Size, out: &Path) -> Result<Built> {
        // What this build uses is held until it ends.
        let session = self.cache.session();
        Builder { cache: &session, ..*self }.build_held(resolved, min_free_space, out)
    }

    fn build_held(&self, resolved: &ResolvedRecipe, min_free_space: Size, out: &Path) -> Result<Built> {
        let recipe = &resolved.recipe;
        self.check_space(min_free_space)?;
        let packages = Packages {
            cache: self.cache,
            base: recipe.base,
            suite: recipe.suite.as_str(),
            architecture: recipe.architecture,
            mirrors: self.mirrors,
            client: self.client,
            runtime: self.runtime,
            offline: self.offline,
        };
        let (layers, kernel) = self.layers_and_kernel(resolved, &packages, recipe.starts())?;
        let stack = Stack { layers, epoch: recipe.epoch, cache: self.cache.root().to_owned() };
        the_lock_is_what_is_there(&stack, resolved)?;
        let installed = installed(&stack, resolved)?;
        let mut artifacts = Vec::new();
        for output in &recipe.outputs {
            self.cancel.check()?;
            let path = out.join(format!("{}.{}", recipe.image, ArtifactKind::of(*output).suffix()));
            artifacts.push(match output {
                Output::Iso => self.iso(resolved, &stack, &packages, kernel.as_ref(), &path)?,
                Output::Oci => self.oci(resolved, &stack, &path)?,
                Output::Rootfs => rootfs::write(&stack, recipe, &path, self.events, self.cancel)?,
                Output::Disk => self.disk(resolved, &stack, &packages, kernel.as_ref(), &path)?,
            });
        }
        Ok(Built {
            firmware: None,
            recipe: recipe.digest(),
            artifacts,
            layers: stack
                .layers
                .iter()
                .map(|l| BuiltLayer { name: l.name.clone(), id: l.id, cached: l.cached, size: l.size })
                .collect(),
            packages: installed,
        })
    }

    fn check_space(&self, least: Size) -> Result<()> {
        let free = free_space(self.cache.root())?;
        if free >= least.bytes() {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::DiskFull,
            FailureClass::Host,
            format!(
                "{} has {} free, less than the {least} that builds want",
                self.cache.root().display(),
                Size::from_bytes(free)
            ),
        )
        .hint("Free some space, set another cache folder, or lower build.minFreeSpace in bootwright.yaml."))
    }

    /// Layers and initramfs, the latter beside the layers that do not shape it.
    fn layers_and_kernel(
        &self,
        resolved: &ResolvedRecipe,
        packages: &Packages<'_>,
        wants_kernel: bool,
    ) -> Result<(Vec<StackedLayer>, Option<Kernel>)> {
        let builder =
            LayerBuilder { cache: self.cache, packages, resolved, events: self.events, cancel: self.cancel };
        if !wants_kernel {
            return Ok((builder.build(|_| Ok(()))?, None));
        }
        let how = (live_of(&resolved.recipe)?.generator, resolved.recipe.architecture);
        let make =
            |layers: &[StackedLayer]| initramfs::make(layers, how, self.cache, self.events, self.cancel);
        std::thread::scope(|scope| {
            let mut early = None;
            let layers = builder.build(|stack| {
                if stack.last().is_some_and(|l| l.name == KERNEL_LAYER) {
                    let below = stack.to_vec();
                    early = Some((below.len(), scope.spawn(move || make(&below))));
                }
                Ok(())
            });
            let early = early.map(|(depth, thread)| {
                (depth, thread.join().unwrap_or_else(|_| Err(Failure::bug("the initramfs thread panicked"))))
            });
            let layers = layers?;
            let depth = initramfs::depth(&layers);
            let kernel = match early {
                Some((early_depth, kernel)) if early_depth == depth => kernel?,
                // A layer above brought something that the initramfs reads.
                _ => make(&layers[..depth])?,
            };
            Ok((layers, Some(kernel)))
        })
    }

    fn oci(&self, resolved: &ResolvedRecipe, stack: &Stack, out: &Path) -> Result<Artifact> {
        // No version, commit or description in the image: the same recipe gives the same
        // bytes, whoever asks for it. The release's manifest has them.
        let input = oci::OciInput {
            stack,
            recipe: &resolved.recipe,
            build_id: resolved.recipe.digest(),
            version: None,
            commit: None,
            description: None,
            out,
        };
        oci::write(&input, self.events, self.cancel)
    }

    fn disk(
        &self,
        resolved: &ResolvedRecipe,
        stack: &Stack,
        packages: &Packages<'_>,
        kernel: Option<&Kernel>,
        out: &Path,
    ) -> Result<Artifact> {
        let recipe = &resolved.recipe;
        let kernel = kernel.ok_or_else(|| Failure::bug("a disk image without a kernel"))?;
        let boot_files =
            boot_files::ensure(self.cache, packages, &recipe.boot_files, self.events, self.cancel)?;
        let splash = recipe.boot_menu.splash.and_then(|digest| resolved.blobs.get(&digest));
        let work = WorkFolder::new(&self.cache.work(), "disk")?;
        let input = disk::DiskInput {
            recipe,
            build_id: recipe.digest(),
            stack,
            kernel,
            splash: splash.map(|bytes| &bytes[..]),
            boot_files: &boot_files,
            out,
            scratch: work.path(),
        };
        disk::write(&input, self.events, self.cancel)
    }

    fn iso(
        &self,
        resolved: &ResolvedRecipe,
        stack: &Stack,
        packages: &Packages<'_>,
        kernel: Option<&Kernel>,
        out: &Path,
    ) -> Result<Artifact> {
        let recipe = &resolved.recipe;
        let kernel = kernel.ok_or_else(|| Failure::bug("an ISO without a kernel"))?;
        let live = live_of(recipe)?;
        let builder =
            LayerBuilder { cache: self.cache, packages, resolved, events: self.events, cancel: self.cancel };
        let mut stack = stack.clone();
        stack.layers.extend(builder.live(&stack.layers)?);
        let modules = match live.stacked {
            true => squashfs::modules(&stack, recipe.compression, self.events, self.cancel)?,
            false => vec![squashfs::flat(&stack, recipe.compression, self.events, self.cancel)?],
        };
        let on_iso = modules.iter().map(|m| (m.name.clone(), m.path.clone())).collect();
        let boot_files =
            boot_files::ensure(self.cache, packages, &recipe.boot_files, self.events, self.cancel)?;
        let splash = recipe.boot_menu.splash.and_then(|digest| resolved.blobs.get(&digest));
        let work = WorkFolder::new(&self.cache.work(), "iso")?;
        iso::write(
            &iso::IsoInput {
                recipe,
                live,
                grub: tables::of(recipe.base).grub.as_ref(),
                build_id: recipe.digest(),
                modules: on_iso,
                kernel,
                splash: splash.map(|bytes| &bytes[..]),
                boot_files: &boot_files,
                out,
                scratch: work.path(),
            },
            self.events,
            self.cancel,
        )
    }
}

/// How the live system of a recipe's distribution finds its root.
fn live_of(recipe: &Recipe) -> Result<&'static Live> {
    tables::of(recipe.base).live_system().ok_or_else(|| {
        Failure::spec(format!("a live system of {} cannot be made yet", recipe.base.as_str()))
            .hint("Take iso and disk out of `outputs`.")
    })
}

/// Looks at the package database as the last package layer left it.
fn the_lock_is_what_is_there(stack: &Stack, resolved: &ResolvedRecipe) -> Result<()> {
    let layers = &resolved.lock.request.layers;
    let of_packages = |layer: &&StackedLayer| layers.iter().any(|l| l.name == layer.name);
    let installed =
        Stack { layers: stack.layers.iter().filter(of_packages).cloned().collect(), ..stack.clone() };
    managers::every_pin_is_installed(&resolved.lock, &installed)?;
    managers::every_pin_is_needed(&resolved.lock, &installed)
}

/// The package database of the finished root, with the digests that the lock knows.
fn installed(stack: &Stack, resolved: &ResolvedRecipe) -> Result<Vec<InstalledPackage>> {
    let mut packages = managers::of(resolved.recipe.base).installed(stack)?;
    for package in &mut packages {
        package.sha256 = resolved
            .recipe
            .packages()
            .find(|p| {
                p.name.as_str() == package.name
                    && p.version == package.version
                    && p.architecture == package.architecture
            })
            .map(|p| p.sha256);
    }
    Ok(packages)
}
