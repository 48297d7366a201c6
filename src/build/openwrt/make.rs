//! `make image` in a sandbox, over an unpacked Image Builder that nobody writes into.
//!
//! The builder is the lower half of an overlay: what `make` changes goes with the work folder.
//! Inside it always lies at [`BUILDER`], so that no path of this host gets into an image. The
//! build has no network. Where the builder's packages come from servers, `make manifest` is run
//! with the network before it: it downloads the same packages, which later builds find.

use super::builders::{Builder, wait_for};
use super::firmware::Firmwares;
use super::{chosen, failure};
use crate::build::cache::lock_of;
use crate::effects::files::{parent, read_if_exists};
use crate::effects::process::{Output, find_tool};
use crate::effects::{Point, Process, Sandbox, point};
use crate::model::catalog::{OverlayContent, OverlayEntry};
use crate::model::device::BuilderProfile;
use crate::model::failure::IoContext;
use crate::model::firmware::{FirmwareFeed, FirmwareOrder, FirmwareRecipe, NetworkUse};
use crate::model::firmware_lock::FirmwareRequest;
use crate::model::openwrt::{FeedKey, feed_key};
use crate::model::{Digest, ErrorCode, Failure, Result};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Where the Image Builder lies as `make` sees it.
pub(super) const BUILDER: &str = "/builder";
/// Where the files are that are laid over the root file system.
const FILES: &str = "/files";
/// Where images go. A folder of its own for each build: `make` merges what it finds.
const OUT: &str = "/out";
/// Where packages and indexes are kept, in the Image Builder.
pub(super) const DOWNLOADS: &str = "dl";
/// Package repositories as apk reads them, and as opkg does.
const APK: &str = "repositories";
const OPKG: &str = "repositories.conf";
/// The release's own time, in seconds since 1970.
const EPOCH: &str = "version.date";
/// No such file of an Image Builder is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// What decides about packages, and which Image Builder is asked.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub builder: &'a Builder,
    profile: &'a BuilderProfile,
    packages: &'a [String],
    feeds: &'a [FirmwareFeed],
    /// Whether these stand in place of the Image Builder's own.
    only_feeds: bool,
    /// The keys of the feeds, in their order.
    keys: &'a [Arc<[u8]>],
    /// What the logs of failures are kept by.
    id: Digest,
}

impl<'a> Choice<'a> {
    /// Of an order.
    fn of(order: &'a FirmwareOrder, builder: &'a Builder) -> Self {
        let recipe = &order.recipe;
        let (profile, packages) = (&recipe.profile, recipe.packages.as_slice());
        let (feeds, only_feeds, keys) = (&recipe.feeds, recipe.only_feeds, &order.keys);
        Self { builder, profile, packages, feeds, only_feeds, keys, id: recipe.digest() }
    }

    /// Of a request that nothing answers yet.
    pub fn asked(request: &'a FirmwareRequest, keys: &'a [Arc<[u8]>], builder: &'a Builder) -> Self {
        let (profile, packages) = (&request.profile, request.packages.as_slice());
        let (feeds, only_feeds) = (&request.feeds, request.only_feeds);
        Self { builder, profile, packages, feeds, only_feeds, keys, id: Digest::of_json(request) }
    }

    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("PROFILE={}", self.profile)];
        if !self.packages.is_empty() {
            arguments.push(format!("PACKAGES={}", self.packages.join(" ")));
        }
        arguments
    }
}

/// What `make` left.
pub struct Made {
    /// The folder of its files.
    pub out: PathBuf,
    /// What it said.
    pub log: String,
    /// What of the network there was.
    pub network: NetworkUse,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Runs `make image`.
///
/// # Errors
/// Why it failed, as its log says.
pub fn image(
    firmwares: &Firmwares<'_>,
    order: &FirmwareOrder,
    builder: &Builder,
    name: &str,
    work: &Path,
) -> Result<Made> {
    let fresh = |name: &str| -> Result<PathBuf> {
        let path = work.join(name);
        std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        Ok(path)
    };
    let (out, files, downloads) = (fresh("out")?, fresh("files")?, fresh("downloads")?);
    for entry in &order.files {
        lay(entry, &files)?;
    }
    let choice = Choice::of(order, builder);
    let network = fetch(firmwares, choice, name, &fresh("fetch")?, &downloads)?;
    let sandbox = sandbox(choice, &fresh("overlay")?)?
        .bind(&files, FILES)
        .bind_writable(&out, OUT)
        .bind_writable(&downloads, format!("{BUILDER}/{DOWNLOADS}"));
    let began = Instant::now();
    let arguments = image_arguments(choice, &order.recipe);
    let output = process(firmwares, &sandbox, &arguments, name)?.one_stream().run(firmwares.cancel)?;
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let log = output.text();
    if !output.status.success() {
        return Err(failed(firmwares, choice, &output, name, false));
    }
    Ok(Made { out, log, network, elapsed_ms })
}

/// The arguments of `make`: each is one, whatever is in it, and nothing in it can be expanded.
fn image_arguments(choice: Choice<'_>, recipe: &FirmwareRecipe) -> Vec<String> {
    let mut arguments = vec!["image".to_owned()];
    arguments.extend(choice.arguments());
    arguments.push(format!("BIN_DIR={OUT}"));
    if !recipe.files.is_empty() {
        arguments.push(format!("FILES={FILES}"));
    }
    if let Some(mib) = recipe.rootfs_mib {
        arguments.push(format!("ROOTFS_PARTSIZE={mib}"));
    }
    if let Some(filesystem) = &recipe.filesystem {
        arguments.push(format!("ROOTFS_FILESYSTEM={filesystem}"));
    }
    if !recipe.disabled_services.is_empty() {
        let services: Vec<&str> = recipe.disabled_services.iter().map(|service| service.as_str()).collect();
        arguments.push(format!("DISABLED_SERVICES={}", services.join(" ")));
    }
    arguments
}

/// The Image Builder with the repositories of a choice, and without network.
pub(super) fn sandbox(choice: Choice<'_>, scratch: &Path) -> Result<Sandbox> {
    let builder = choice.builder;
    let mut sandbox = Sandbox::new(std::slice::from_ref(&builder.root), scratch)?;
    if !choice.feeds.is_empty() {
        let is_apk = builder.root.join(APK).is_file();
        let list = if is_apk { APK } else { OPKG };
        let mut text = repositories(builder, list)?;
        if choice.only_feeds {
            // What the archive brings itself, and how it is checked, is no repository of a server.
            let stays = |line: &&str| line.contains("file:packages") || line.starts_with("option ");
            text = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let keys = sandbox.upper().join("keys");
        std::fs::create_dir_all(&keys).during(|| format!("making {}", keys.display()))?;
        for (feed, key) in choice.feeds.iter().zip(choice.keys) {
            let url = feed.url.as_str().trim_end_matches('/');
            let file = match (feed_key(key), is_apk) {
                (Some(FeedKey::Pem), true) => {
                    text.push_str(&format!("{url}/packages.adb\n"));
                    format!("{}.pem", feed.name)
                }
                (Some(FeedKey::Usign { id }), false) => {
                    text.push_str(&format!("src/gz {} {url}\n", feed.name));
                    id
                }
                (_, true) => return Err(wrong_key(builder, &feed.name, "PEM")),
                (_, false) => return Err(wrong_key(builder, &feed.name, "usign")),
            };
            write(&keys.join(file), key)?;
        }
        write(&sandbox.upper().join(list), text.as_bytes())?;
    }
    if let Some(epoch) = epoch(builder)? {
        sandbox = sandbox.env("SOURCE_DATE_EPOCH", epoch);
    }
    Ok(sandbox)
}

fn wrong_key(builder: &Builder, feed: impl std::fmt::Display, wanted: &str) -> Failure {
    Failure::spec(format!(
        "the key of the repository {feed} is not of the kind that {} takes",
        builder.record.id.release()
    ))
    .hint(format!("Give the repository's {wanted} key."))
}

/// A list of repositories as the Image Builder has it; empty where it has none.
fn repositories(builder: &Builder, list: &str) -> Result<String> {
    let bytes = read_if_exists(&builder.root.join(list), LONGEST)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The release's own time, where the Image Builder says it.
pub(super) fn epoch(builder: &Builder) -> Result<Option<String>> {
    let bytes = read_if_exists(&builder.root.join(EPOCH), LONGEST)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    Ok(((1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then_some(text))
}

/// Whether packages of a choice come from servers.
pub(super) fn has_servers(choice: Choice<'_>) -> Result<bool> {
    let builder = choice.builder;
    let of_builder = |list| -> Result<bool> {
        let text = repositories(builder, list)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        Ok(lines.into_iter().any(|line| line.contains("://") && !line.contains("file://")))
    };
    Ok(!choice.feeds.is_empty() || of_builder(APK)? || of_builder(OPKG)?)
}

/// Has the packages of a choice in `downloads`, a copy of what the cache keeps for the builder:
/// package managers write where others read.
fn fetch(
    firmwares: &Firmwares<'_>,
    choice: Choice<'_>,
    name: &str,
    scratch: &Path,
    downloads: &Path,
) -> Result<NetworkUse> {
    if !has_servers(choice)? {
        return Ok(NetworkUse::None);
    }
    let kept = firmwares.cache.openwrt_packages(&choice.builder.record.sha256);
    let _alone = wait_for(&lock_of(&kept), name, firmwares.events, firmwares.cancel)?;
    std::fs::create_dir_all(&kept).during(|| format!("making {}", kept.display()))?;
    let mut network = NetworkUse::None;
    if !firmwares.offline {
        let sandbox =
            sandbox(choice, scratch)?.with_network().bind_writable(&kept, format!("{BUILDER}/{DOWNLOADS}"));
        chosen::list(firmwares, choice, chosen::Names::Installed, &sandbox, name, true)?;
        network = NetworkUse::Fetch;
        point(Point::FirmwareFetched)?;
    }
    crate::build::cache::stamp(&kept)?;
    copy_packages(&kept, downloads)?;
    Ok(network)
}

/// Copies packages that were fetched to where one build may write.
///
/// # Errors
/// If something cannot be read or written.
pub fn copy_packages(kept: &Path, downloads: &Path) -> Result<()> {
    std::fs::create_dir_all(kept).during(|| format!("making {}", kept.display()))?;
    for entry in std::fs::read_dir(kept).during(|| format!("reading {}", kept.display()))? {
        let entry = entry.during(|| format!("reading {}", kept.display()))?;
        if entry.file_type().during(|| format!("reading {}", kept.display()))?.is_file() {
            let to = downloads.join(entry.file_name());
            std::fs::copy(entry.path(), &to).during(|| format!("copying to {}", to.display()))?;
        }
    }
    Ok(())
}

pub(super) fn process(
    firmwares: &Firmwares<'_>,
    sandbox: &Sandbox,
    arguments: &[String],
    name: &str,
) -> Result<Process> {
    let make = find_tool("make")
        .ok_or_else(|| Failure::host("make is not installed").hint("Run `bootwright doctor --install`."))?;
    let process = sandbox.workshop(&make.to_string_lossy(), BUILDER)?;
    Ok(process.args(arguments).timeout(firmwares.patience).log_to(firmwares.events, name))
}

/// Why `make` failed, with its log kept.
pub(super) fn failed(
    firmwares: &Firmwares<'_>,
    choice: Choice<'_>,
    output: &Output,
    name: &str,
    network: bool,
) -> Failure {
    let log = format!("{}{}", output.text(), output.errors());
    let mut failure = failure::read(&log, name, network)
        .unwrap_or_else(|| failure::unknown(&log, name, &output.status.to_string()));
    // Nobody could look whether there is such a package.
    let unseen = firmwares.offline && failure.code == ErrorCode::PackageUnavailable;
    if unseen && has_servers(choice).unwrap_or(false) {
        failure = Failure::offline(format!("{name}: a package is not in the cache"))
            .details(failure.details.unwrap_or_default())
            .hint("Run the same once with network: what is fetched is kept.");
    }
    match firmwares.keep_log(&choice.id, &log) {
        Ok(path) => {
            let details = failure.details.clone().unwrap_or_default();
            failure.details(format!("{details}\n(all of it: {})", path.display()))
        }
        // The disk may be what is wrong.
        Err(_) => failure,
    }
}

/// Lays one entry of an overlay into a folder. Modes do not depend on the catalog's own.
fn lay(entry: &OverlayEntry, root: &Path) -> Result<()> {
    let to = root.join(&entry.path);
    let folder = parent(&to);
    std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    match &entry.content {
        OverlayContent::File { bytes, executable } => {
            write(&to, bytes)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(&to, Permissions::from_mode(mode))
                .during(|| format!("writing {}", to.display()))
        }
        OverlayContent::Symlink { target } => {
            symlink(target, &to).during(|| format!("making {}", to.display()))
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).during(|| format!("writing {}", path.display()))
}
