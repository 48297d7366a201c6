//! One request → firmware, over the same recipes and the same cache as device profiles.
//!
//! The Image Builder is found or fetched; what it is must be what was asked for (revision); packages
//! are followed to the names that they have in the release; what they come to is asked of the Image
//! Builder and must have the versions that were asked for; then the firmware is found, or built.

use super::Sysupgrade;
use super::metadata::{build_at, object};
use crate::build::openwrt::{Builder, Firmware, selection};
use crate::effects::files::read_if_exists;
use crate::model::asu::answer::served_name;
use crate::model::asu::hash::packages_hash;
use crate::model::asu::overview;
use crate::model::asu::{Asked, BuildRequest, JobState, Mode, Progress};
use crate::model::builder_info::BuilderInfo;
use crate::model::catalog::{OverlayContent, OverlayEntry};
use crate::model::device::{BuilderProfile, DeviceName, DevicePackages, FeedName, OpenwrtPackage};
use crate::model::firmware::FirmwareFeed;
use crate::model::firmware_lock::FirmwareRequest;
use crate::model::name_changes::{self, Renamed};
use crate::model::openwrt::{FeedKey, Platform, Release, feed_key};
use crate::model::product::ResolvedFirmware;
use crate::model::{Digest, ErrorCode, Failure, FailureClass, Result};
use crate::resolve::{self, Beside};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

/// Where a request's script stands in the firmware.
const DEFAULTS: &str = "etc/uci-defaults/99-asu-defaults";
/// So much of the end of a log is told.
const LONGEST_LOG: usize = 256 << 10;
/// No log or `profiles.json` of a build is longer, in bytes.
const LONGEST_FILE: u64 = 16 << 20;
/// How long a failure is told that is none of the request's.
const PASSING: TimeDelta = TimeDelta::minutes(5);

/// Why there is no firmware.
struct Refusal {
    /// In one line, by words that clients know.
    detail: String,
    /// What `make` said.
    log: String,
    /// Whether it would be so again.
    lasting: bool,
}

/// What a request comes to.
struct Built {
    recipe: Digest,
    answer: Map<String, Value>,
}

/// A build ends with firmware, or with why there is none. Nothing of that is a failure of the server
/// but a wish to stop.
type End = Result<Result<Built, Refusal>>;

impl Sysupgrade {
    /// Builds what is asked for, one after the other, until somebody asks to stop.
    pub fn work(&self) {
        while let Some(hash) = self.queue.take(self.cancel()) {
            if let Err(failure) = self.one(&hash) {
                self.context.events.warn(format!("the request {}: {failure}", hash.short()));
            }
            self.queue.end(&hash);
        }
    }

    fn one(&self, hash: &Digest) -> Result<()> {
        let Some(mut asked) = self.asked(hash)?.filter(|asked| asked.state == JobState::Queued) else {
            return Ok(());
        };
        let put = |asked: &Asked| self.runtime.block_on(self.state.put_sysupgrade(asked));
        asked.state = JobState::Started;
        put(&asked)?;
        match self.build(&asked) {
            // The next server goes on with it.
            Err(_) if self.cancel().is_requested() => {
                asked.state = JobState::Queued;
                return put(&asked);
            }
            Err(failure) => self.end_without(&mut asked, self.refusal(failure, None)),
            Ok(Err(refusal)) => self.end_without(&mut asked, refusal),
            Ok(Ok(Built { recipe, answer })) => {
                (asked.state, asked.recipe, asked.answer) = (JobState::Done, Some(recipe), answer);
                asked.expires = Some(self.context.clock.now() + asked.keep(JobState::Done));
            }
        }
        put(&asked)
    }

    fn end_without(&self, asked: &mut Asked, refusal: Refusal) {
        let Refusal { detail, log, lasting } = refusal;
        let kept = if lasting { asked.keep(JobState::Failed) } else { PASSING };
        asked.state = JobState::Failed;
        asked.expires = Some(self.context.clock.now() + kept);
        asked.answer.insert("detail".to_owned(), json!(format!("Error: {detail}")));
        asked.answer.insert("stdout".to_owned(), json!(""));
        asked.answer.insert("stderr".to_owned(), json!(log));
    }

    /// Why there is no firmware; `log` is by what a log of `make` was kept. What is wrong with this host is
    /// nobody's business but its owner's, who finds it in the log of the server.
    fn refusal(&self, failure: Failure, log: Option<Digest>) -> Refusal {
        self.note(&failure);
        let log = log.and_then(|of| self.firmwares().log_of_failure(&of)).unwrap_or_default();
        let detail = match (failure.class, failure.code) {
            (FailureClass::Limit, _) => "Selected packages exceed device storage".to_owned(),
            (FailureClass::Spec, ErrorCode::PackageUnavailable | ErrorCode::Compat) => {
                selection::impossible(&log)
            }
            (FailureClass::Spec | FailureClass::Upstream, _) => failure.message,
            _ => "Error while building firmware. The server could not do its part.".to_owned(),
        };
        let lasting = matches!(failure.class, FailureClass::Spec | FailureClass::Limit);
        Refusal { detail, log: tail(&log), lasting }
    }

    fn build(&self, asked: &Asked) -> End {
        let (hash, request) = (&asked.hash, &asked.request);
        let wanted = Wanted::of(request)?;
        let refuse = |detail: String| Ok(Err(Refusal { detail, log: String::new(), lasting: true }));
        let upstream = self.upstream()?;
        self.queue.progress(hash, Progress::ContainerSetup);
        let (builder, _) = match upstream.at_rest_or_asked(&wanted.release, &wanted.platform) {
            Ok(found) => found,
            Err(failure) if failure.code == ErrorCode::NotFound => {
                let what = format!("Image not found: {} {}", request.version, request.target);
                return Ok(Err(Refusal { detail: what, log: String::new(), lasting: false }));
            }
            Err(failure) => return Err(failure),
        };
        self.queue.progress(hash, Progress::ValidateRevision);
        let info = self.info(&builder)?;
        if !request.version_code.is_empty() && request.version_code != info.revision {
            let (is, code) = (&info.revision, &request.version_code);
            return refuse(format!("Received incorrect version {is} (requested {code})"));
        }
        self.queue.progress(hash, Progress::ValidateManifest);
        let changes = name_changes::of(&self.openwrt.package_changes, &wanted.release);
        let (mut packages, renamed) = name_changes::follow(changes, &wanted.packages);
        if request.diff_packages {
            leave_out_rest(&mut packages, &info, &wanted.profile);
        }
        let Feeds { feeds, keys } = feeds(request).map_err(Failure::spec)?;
        let question = FirmwareRequest {
            release: wanted.release.clone(),
            platform: wanted.platform.clone(),
            profile: wanted.profile.clone(),
            packages: resolve::listed_packages(&packages),
            only_feeds: !feeds.is_empty() && request.repositories_mode == Mode::Replace,
            feeds,
        };
        let firmwares = self.firmwares();
        let name: DeviceName = format!("sysupgrade-{}", hash.short())
            .parse()
            .map_err(|e| Failure::bug(format!("a request has no name: {e}")))?;
        let asking = (&question, keys.as_slice());
        let resolved = firmwares.packages_without_abi(&name, asking, &builder).and_then(|plain| {
            let plain: BTreeMap<String, String> =
                plain.into_iter().map(|p| (p.name.to_string(), p.version)).collect();
            Ok((plain, firmwares.lock(&name, asking, &builder, None)?))
        });
        let (manifest, lock) = match resolved {
            Ok(resolved) => resolved,
            Err(failure) if failure.class == FailureClass::Cancelled => return Err(failure),
            Err(failure) => return Ok(Err(self.refusal(failure, Some(Digest::of_json(&question))))),
        };
        if let Some(why) = differs(request, &manifest, &renamed) {
            return refuse(why);
        }
        self.queue.progress(hash, Progress::BuildingImage);
        let beside = Beside {
            files: wanted.files,
            rootfs_mib: request.rootfs_size_mb.map(u64::from),
            ..Beside::default()
        };
        let mut order = resolve::resolved((question, keys), beside, lock);
        // What has all file systems has this one too: a profile of the catalog may have made it.
        let there = firmwares.find(&order.order.recipe.digest())?;
        let firmware = match (there, &request.filesystem) {
            (Some(there), None) => there,
            (Some(there), Some(only)) if has(&there, only) => there,
            (_, only) => {
                order.order.recipe.filesystem.clone_from(only);
                match firmwares.build(&order, &builder, false, self.context.clock.now()) {
                    Ok(firmware) => firmware,
                    Err(failure) if failure.class == FailureClass::Cancelled => return Err(failure),
                    Err(failure) => {
                        return Ok(Err(self.refusal(failure, Some(order.order.recipe.digest()))));
                    }
                }
            }
        };
        let answer = answer(hash, &firmware, &order, manifest)?;
        Ok(Ok(Built { recipe: firmware.record.digest, answer }))
    }

    /// What an Image Builder says of itself; one with the same archive says the same.
    fn info(&self, builder: &Builder) -> Result<Arc<BuilderInfo>> {
        let infos = || self.infos.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(info) = infos().get(&builder.record.sha256) {
            return Ok(Arc::clone(info));
        }
        let info = Arc::new(self.firmwares().info(builder)?);
        infos().insert(builder.record.sha256, Arc::clone(&info));
        Ok(info)
    }
}

/// What a request asks for, by names that `make` may be given.
struct Wanted {
    release: Release,
    platform: Platform,
    profile: BuilderProfile,
    packages: DevicePackages,
    files: Vec<OverlayEntry>,
}

impl Wanted {
    /// # Errors
    /// If what was looked at when it was asked is not so any more.
    fn of(request: &BuildRequest) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Failure::spec(e.to_string());
        let mut packages = DevicePackages::default();
        for name in request.packages().filter(|name| !name.is_empty()) {
            let (list, name) = match name.strip_prefix('-') {
                Some(name) => (&mut packages.remove, name),
                None => (&mut packages.add, name),
            };
            let name: OpenwrtPackage = name.parse().map_err(|e| bad(&e))?;
            if !list.contains(&name) {
                list.push(name);
            }
        }
        let script = request.defaults.as_ref().filter(|script| !script.is_empty());
        let file = |script: &String| {
            let content = OverlayContent::File { bytes: Arc::from(script.as_bytes()), executable: false };
            OverlayEntry { path: DEFAULTS.to_owned(), content }
        };
        Ok(Self {
            release: overview::release(&request.version).ok_or_else(|| bad(&"there is no such release"))?,
            platform: request.target.parse().map_err(|e| bad(&e))?,
            profile: request.profile.parse().map_err(|e| bad(&e))?,
            packages,
            files: script.map(file).into_iter().collect(),
        })
    }
}

/// Leaves out the packages that a device has by itself and that were not asked for.
fn leave_out_rest(packages: &mut DevicePackages, info: &BuilderInfo, profile: &BuilderProfile) {
    let asked: BTreeSet<&OpenwrtPackage> = packages.add.iter().chain(&packages.remove).collect();
    let own = info.packages_of(profile).filter_map(|name| name.trim_start_matches('-').parse().ok());
    let rest: BTreeSet<OpenwrtPackage> = own.filter(|name| !asked.contains(name)).collect();
    packages.remove.extend(rest);
}

/// What a manifest has other than it was asked for. A package that has another name now is there by
/// that one, and its version is not what somebody knew.
fn differs(
    request: &BuildRequest,
    manifest: &BTreeMap<String, String>,
    renamed: &[Renamed],
) -> Option<String> {
    let words = "Impossible package selection";
    request.packages_versions.0.iter().find_map(|(name, wanted)| {
        let name = name.strip_prefix('+').unwrap_or(name);
        if name.starts_with('-') || renamed.iter().any(|renamed| renamed.from.as_str() == name) {
            return None;
        }
        match manifest.get(name) {
            None => Some(format!("{words}: {name} not in manifest")),
            Some(has) if has != wanted => {
                Some(format!("{words}: {name} version not as requested: {wanted} vs. {has}"))
            }
            Some(_) => None,
        }
    })
}

/// Package repositories, and the keys of them in their order.
#[derive(Default)]
pub(super) struct Feeds {
    feeds: Vec<FirmwareFeed>,
    keys: Vec<Arc<[u8]>>,
}

/// The package repositories of a request with their keys. One key counts for all, several for one
/// each.
///
/// # Errors
/// Why they cannot be taken.
pub(super) fn feeds(request: &BuildRequest) -> Result<Feeds, String> {
    let Feeds { mut feeds, mut keys } = Feeds::default();
    let repositories = &request.repositories.0;
    if repositories.is_empty() {
        return Ok(Feeds { feeds, keys });
    }
    let given: Vec<Arc<[u8]>> =
        request.repository_keys.iter().map(|key| key_file(key)).collect::<Result<_, _>>()?;
    if given.is_empty() || (given.len() != 1 && given.len() != repositories.len()) {
        return Err("Repository keys: one for all repositories is needed, or one for each".to_owned());
    }
    for (index, (name, url)) in repositories.iter().enumerate() {
        let folder = url.strip_suffix("/packages.adb").unwrap_or(url);
        let url = folder.parse().map_err(|_| format!("Repository not allowed: {url}"))?;
        let name = feed_name(name).filter(|name| feeds.iter().all(|feed| feed.name != *name));
        let name =
            name.ok_or_else(|| "Repository names: they must differ in letters and digits".to_owned())?;
        let key = given.get(index).or_else(|| given.first()).cloned().unwrap_or_default();
        feeds.push(FirmwareFeed { name, url, key: Digest::of(&key) });
        keys.push(key);
    }
    Ok(Feeds { feeds, keys })
}

/// A name that stands in a line of a list of repositories, and in the name of a file.
fn feed_name(name: &str) -> Option<FeedName> {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    format!("r_{}", name.chars().map(plain).collect::<String>()).parse().ok()
}

/// The file of a key. usign's comes with its comment or without.
fn key_file(key: &str) -> Result<Arc<[u8]>, String> {
    let key = key.trim();
    let text = match key.starts_with("-----BEGIN") || key.contains('\n') {
        true => format!("{key}\n"),
        false => format!("untrusted comment: public key\n{key}\n"),
    };
    match feed_key(text.as_bytes()) {
        Some(FeedKey::Pem | FeedKey::Usign { .. }) => Ok(Arc::from(text.into_bytes())),
        None => Err("Repository keys: one is neither usign's nor PEM".to_owned()),
    }
}

/// Whether there is an image with a file system.
fn has(firmware: &Firmware, filesystem: &str) -> bool {
    firmware.record.images.iter().any(|image| image.filesystem.as_deref() == Some(filesystem))
}

/// What is said of a firmware: what the Image Builder says of it in `profiles.json`, with the names under
/// which files are handed out.
fn answer(
    hash: &Digest,
    firmware: &Firmware,
    order: &ResolvedFirmware,
    manifest: BTreeMap<String, String>,
) -> Result<Map<String, Value>> {
    let recipe = &order.order.recipe;
    let gone = || Failure::bug("a firmware in the cache has no profiles.json");
    let text = read_if_exists(&firmware.root.join("profiles.json"), LONGEST_FILE)?.ok_or_else(gone)?;
    let mut answer = object(&text)?;
    let profiles = answer.remove("profiles").unwrap_or_default();
    let own = profiles.get(recipe.profile.as_str()).and_then(Value::as_object).ok_or_else(gone)?;
    answer.extend(own.clone());
    let extra = packages_hash(manifest.keys().map(String::as_str));
    let rename = |value: &mut Value| {
        if let Some(name) = value.as_str() {
            *value = json!(served_name(name, &recipe.platform, &extra));
        }
    };
    for image in answer.get_mut("images").and_then(Value::as_array_mut).into_iter().flatten() {
        image.get_mut("name").map(rename);
    }
    // A prefix ends where a name goes on.
    if let Some(prefix) = answer.get("image_prefix").and_then(Value::as_str) {
        let whole = served_name(&format!("{prefix}-"), &recipe.platform, &extra);
        answer.insert("image_prefix".to_owned(), json!(whole.trim_end_matches('-')));
    }
    let mut command = vec!["make".to_owned(), "image".to_owned(), format!("PROFILE={}", recipe.profile)];
    command.push(format!("PACKAGES={}", recipe.packages.join(" ")));
    command.push(format!("EXTRA_IMAGE_NAME={}", &extra.hex()[..12]));
    if !recipe.files.is_empty() {
        command.push("FILES=/builder/asu-files".to_owned());
    }
    command.extend(recipe.rootfs_mib.map(|size| format!("ROOTFS_PARTSIZE={size}")));
    command.extend(recipe.filesystem.as_ref().map(|only| format!("ROOTFS_FILESYSTEM={only}")));
    let log = read_if_exists(&firmware.log, LONGEST_FILE)?.unwrap_or_default();
    for (name, value) in [
        ("manifest", json!(manifest)),
        ("id", json!(recipe.profile)),
        ("bin_dir", json!(hash.hex())),
        ("build_cmd", json!(command)),
        ("build_cmd_packages", json!(recipe.packages)),
        ("build_at", build_at(&answer)),
        ("detail", json!("done")),
        ("stdout", json!(tail(&String::from_utf8_lossy(&log)))),
        ("stderr", json!("")),
    ] {
        answer.insert(name.to_owned(), value);
    }
    Ok(answer)
}

/// The end of a log.
fn tail(log: &str) -> String {
    let mut from = log.len().saturating_sub(LONGEST_LOG);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    log[from..].to_owned()
}
