//! `openwrt profiles list`, `search`, `show`, `new`, `clone`, `deprecate`.

use super::place::Place as Kept;
use crate::catalog::files::{FileKind, Files};
use crate::catalog::{self, Location, device_text, diagnostic};
use crate::effects::files::write_atomic;
use crate::model::catalog::{Catalog, DeviceDocument, OverlayContent};
use crate::model::device::{
    BuilderProfile, DeviceMetadata, DeviceName, DevicePackages, DeviceProfile, DeviceProfileKind, DeviceSpec,
    OpenwrtPackage, TagName,
};
use crate::model::firmware::{OfferedProfile, ProfilesJson};
use crate::model::openwrt::{Platform, Release};
use crate::model::spec::ApiVersion;
use crate::model::{Failure, Result};
use crate::ops::workspace::{Workspace, clones, locate};
use crate::ops::{CatalogRef, Context};
use serde::Serialize;
use std::path::PathBuf;

/// List device profiles, or search in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileListRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Only those with one of these tags; all where it is empty.
    pub tags: Vec<TagName>,
    /// Only those of this release, as it is written.
    pub release: Option<Release>,
    /// Only those of this target.
    pub platform: Option<Platform>,
    /// Only those in which all of these words are, in whatever case.
    pub words: Vec<String>,
}

/// Device profiles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProfileListReport {
    /// They, by name.
    pub profiles: Vec<ListedProfile>,
}

/// One device profile, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedProfile {
    /// Its name.
    pub name: DeviceName,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is selected by.
    pub tags: Vec<TagName>,
    /// Why nobody should use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// The release, as it is written.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The device as the Image Builder names it.
    pub profile: BuilderProfile,
    /// Where it stands.
    pub place: String,
}

/// Show one device profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileShowRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Its name.
    pub name: DeviceName,
}

/// One device profile with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileShowReport {
    /// It, in short.
    #[serde(flatten)]
    pub listed: ListedProfile,
    /// What its firmware shall be.
    pub spec: DeviceSpec,
    /// The files that are laid over the root file system.
    pub overlay: Vec<String>,
    /// The profile as one document.
    pub document: String,
}

/// List what a target offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOfferedRequest {
    /// The catalog whose settings name servers and keys.
    pub catalog: CatalogRef,
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// Only devices in whose names all of these words are.
    pub words: Vec<String>,
}

/// What a target offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileOfferedReport {
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The devices, by name.
    pub devices: Vec<OfferedDevice>,
}

/// One device of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferedDevice {
    /// Its name.
    pub profile: BuilderProfile,
    /// What is said of it.
    #[serde(flatten)]
    pub offered: OfferedProfile,
}

/// Make a device profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileNewRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Its name.
    pub name: DeviceName,
    /// What it is.
    pub description: Option<String>,
    /// What it is selected by.
    pub tags: Vec<TagName>,
    /// The release.
    pub release: Release,
    /// Target and subtarget.
    pub platform: Platform,
    /// The device as the Image Builder names it.
    pub profile: BuilderProfile,
    /// Packages to put in.
    pub add: Vec<OpenwrtPackage>,
    /// Packages to leave out.
    pub remove: Vec<OpenwrtPackage>,
}

/// Make a device profile of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileCloneRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The other one.
    pub from: DeviceName,
    /// Its name.
    pub to: DeviceName,
    /// The release; that of the other one when absent.
    pub release: Option<Release>,
}

/// Say that a device profile should not be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileDeprecateRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// Its name.
    pub name: DeviceName,
    /// Why, and what to use in its place.
    pub why: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileWrittenReport {
    /// The device profile.
    pub name: DeviceName,
    /// The files, from the catalog's root.
    pub files: Vec<String>,
    /// Whether the release was asked for the device; nobody is without servers or network.
    pub asked: bool,
}

impl ListedProfile {
    /// A profile of a catalog, in short.
    pub fn of(document: &DeviceDocument) -> Self {
        let DeviceProfile { metadata, spec, .. } = &document.profile;
        Self {
            name: metadata.name.clone(),
            description: metadata.description.clone(),
            tags: metadata.tags.clone(),
            deprecated: metadata.deprecated.clone(),
            release: spec.release.clone(),
            platform: spec.platform(),
            profile: spec.profile.clone(),
            place: document.place.clone(),
        }
    }
}

/// Lists device profiles.
///
/// # Errors
/// If the catalog cannot be read.
pub fn profile_list(context: &Context, request: &ProfileListRequest) -> Result<ProfileListReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let documents = workspace.catalog.devices.values();
    let profiles = documents.filter(|document| request.fits(document)).map(ListedProfile::of).collect();
    Ok(ProfileListReport { profiles })
}

impl ProfileListRequest {
    fn fits(&self, document: &DeviceDocument) -> bool {
        let DeviceProfile { metadata, spec, .. } = &document.profile;
        let tagged = self.tags.is_empty() || metadata.tags.iter().any(|tag| self.tags.contains(tag));
        let released = self.release.as_ref().is_none_or(|release| *release == spec.release);
        let placed = self.platform.as_ref().is_none_or(|platform| *platform == spec.platform());
        if !(tagged && released && placed) {
            return false;
        }
        let mut text = device_text(&document.profile);
        text.push_str(&spec.platform().to_string());
        let text = text.to_lowercase();
        self.words.iter().all(|word| text.contains(&word.to_lowercase()))
    }
}

/// Shows one device profile.
///
/// # Errors
/// Class *spec* with the nearest names if there is none.
pub fn profile_show(context: &Context, request: &ProfileShowRequest) -> Result<ProfileShowReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let document = known(&workspace.catalog, &request.name)?;
    let path = |entry: &crate::model::catalog::OverlayEntry| format!("/{}", entry.path);
    Ok(ProfileShowReport {
        listed: ListedProfile::of(document),
        spec: document.profile.spec.clone(),
        overlay: document.overlay.iter().map(path).collect(),
        document: device_text(&document.profile),
    })
}

/// A device profile of a catalog.
pub(super) fn known<'c>(catalog: &'c Catalog, name: &DeviceName) -> Result<&'c DeviceDocument> {
    catalog.devices.get(name).ok_or_else(|| {
        let names: Vec<&str> = catalog.devices.keys().map(DeviceName::as_str).collect();
        let hint = match (catalog::nearest(name.as_str(), &names), names.is_empty()) {
            (Some(near), _) => format!("Did you mean {near}?"),
            (None, true) => "It has none: make one with `bootwright openwrt profiles new`.".to_owned(),
            (None, false) => format!("It has: {}.", names.join(", ")),
        };
        Failure::not_found(format!("the catalog has no device profile {name}")).hint(hint)
    })
}

/// Lists what a target offers.
///
/// # Errors
/// As the Image Builder of the target would be had.
pub fn profile_offered(context: &Context, request: &ProfileOfferedRequest) -> Result<ProfileOfferedReport> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let kept = Kept::open(context, &workspace)?;
    let upstream = kept.upstream(context, &workspace)?;
    let (id, offered) = upstream.offered(&request.release, &request.platform)?;
    let fits = |(profile, offered): &(BuilderProfile, OfferedProfile)| {
        let text = format!("{profile} {} {}", offered.titles.join(" "), offered.boards.join(" "));
        let text = text.to_lowercase();
        request.words.iter().all(|word| text.contains(&word.to_lowercase()))
    };
    let devices = offered.profiles.into_iter().filter(fits);
    Ok(ProfileOfferedReport {
        release: id.release().clone(),
        platform: request.platform.clone(),
        devices: devices.map(|(profile, offered)| OfferedDevice { profile, offered }).collect(),
    })
}

/// Makes a device profile. Where a server or a folder can be asked, it must offer the device.
///
/// # Errors
/// Class *spec* if the name is taken, or if the release has no such device.
pub fn profile_new(context: &Context, request: &ProfileNewRequest) -> Result<ProfileWrittenReport> {
    let place = Place::open(context, &request.catalog)?;
    let Platform { target, subtarget } = request.platform.clone();
    let mut profile = DeviceProfile {
        api_version: ApiVersion::V1,
        kind: DeviceProfileKind::DeviceProfile,
        metadata: DeviceMetadata {
            name: request.name.clone(),
            description: request.description.clone(),
            tags: request.tags.clone(),
            deprecated: None,
        },
        spec: DeviceSpec {
            release: request.release.clone(),
            target,
            subtarget,
            profile: request.profile.clone(),
            packages: DevicePackages { add: request.add.clone(), remove: request.remove.clone() },
            first_boot_script: None,
            rootfs_size: None,
            disabled_services: Vec::new(),
            repositories: Vec::new(),
            board: None,
            channel: crate::ops::catalogs::first_channel(&place.files)?,
            schedule: None,
            schedule_time_zone: None,
            freshness: crate::model::spec::Freshness::default(),
            paused: false,
        },
    };
    let workspace = Workspace::open(context, &request.catalog)?;
    let offered = ask(context, &workspace, &profile.spec)?;
    if let Some(offered) = &offered {
        let of = format!("{} {}", request.release, request.platform);
        let device = offered.require(&request.profile, &of)?;
        let board = if device.boards.len() == 1 { device.boards.first() } else { None };
        profile.spec.board = board.and_then(|board| board.parse().ok());
        if profile.metadata.description.is_none() {
            let line = |title: &&String| !title.is_empty() && !title.chars().any(char::is_control);
            profile.metadata.description = device.titles.iter().find(line).cloned();
        }
    }
    let files = place.add(vec![place.spec(&profile)?])?;
    Ok(ProfileWrittenReport { name: request.name.clone(), files, asked: offered.is_some() })
}

/// What the release of a profile offers; nothing where nobody can be asked.
fn ask(context: &Context, workspace: &Workspace, spec: &DeviceSpec) -> Result<Option<ProfilesJson>> {
    if workspace.settings().openwrt.urls.is_empty() {
        return Ok(None);
    }
    let kept = Kept::open(context, workspace)?;
    let upstream = kept.upstream(context, workspace)?;
    if context.offline && !upstream.has_folder() {
        return Ok(None);
    }
    upstream.offered(&spec.release, &spec.platform()).map(|(_, offered)| Some(offered))
}

/// Makes a device profile of another one, with its overlay.
///
/// # Errors
/// Class *spec* if there is no such profile or the name is taken.
pub fn profile_clone(context: &Context, request: &ProfileCloneRequest) -> Result<ProfileWrittenReport> {
    let place = Place::open(context, &request.catalog)?;
    let catalog = catalog::load(&place.files).map_err(|found| diagnostic::failure(&found))?;
    let document = known(&catalog, &request.from)?;
    let mut profile = document.profile.clone();
    profile.metadata.name = request.to.clone();
    profile.metadata.deprecated = None;
    profile.spec.release = request.release.clone().unwrap_or(profile.spec.release);
    let mut files = vec![place.spec(&profile)?];
    files.extend(overlay_files(&request.to, document));
    Ok(ProfileWrittenReport { name: request.to.clone(), files: place.add(files)?, asked: false })
}

/// The overlay of a profile as files of a catalog, under a name.
pub(super) fn overlay_files(name: &DeviceName, document: &DeviceDocument) -> Vec<NewFile> {
    let file = |entry: &crate::model::catalog::OverlayEntry| {
        let (kind, bytes) = match &entry.content {
            OverlayContent::File { bytes, executable: true } => (FileKind::Executable, bytes.to_vec()),
            OverlayContent::File { bytes, executable: false } => (FileKind::Regular, bytes.to_vec()),
            OverlayContent::Symlink { target } => (FileKind::Symlink, target.clone().into_bytes()),
        };
        NewFile { path: format!("{}{name}/{}", catalog::files::OVERLAYS, entry.path), kind, bytes }
    };
    document.overlay.iter().map(file).collect()
}

/// Marks a device profile as deprecated, in its place.
///
/// # Errors
/// Class *spec* if there is no such profile, or if a line must be written by hand.
pub fn profile_deprecate(
    context: &Context,
    request: &ProfileDeprecateRequest,
) -> Result<ProfileWrittenReport> {
    let place = Place::open(context, &request.catalog)?;
    let catalog = catalog::load(&place.files).map_err(|found| diagnostic::failure(&found))?;
    known(&catalog, &request.name)?;
    let (path, text) = catalog::deprecate(&place.files, &request.name, &request.why)?;
    write_atomic(&place.dir.join(&path), text.as_bytes(), 0o644)?;
    Ok(ProfileWrittenReport { name: request.name.clone(), files: vec![path], asked: false })
}

/// A working tree that files are added to.
pub(super) struct Place {
    pub dir: PathBuf,
    pub files: Files,
}

/// A file to be added.
#[derive(Debug)]
pub(super) struct NewFile {
    /// From the catalog's root.
    pub path: String,
    pub kind: FileKind,
    /// Its bytes, or a link's target.
    pub bytes: Vec<u8>,
}

impl Place {
    /// # Errors
    /// Class *spec* if it is no working tree.
    pub fn open(context: &Context, catalog: &CatalogRef) -> Result<Self> {
        let (location, _) = locate(context, catalog)?;
        let Location::WorkTree(dir) = &location else {
            return Err(Failure::spec("a device profile can be written into a working tree only")
                .hint("Clone the catalog and run this in it."));
        };
        let files = catalog::read(&location, &clones(context))?;
        Ok(Self { dir: dir.clone(), files })
    }

    /// A profile as a file of its own.
    ///
    /// # Errors
    /// Class *spec* if the file is there.
    pub fn spec(&self, profile: &DeviceProfile) -> Result<NewFile> {
        let name = &profile.metadata.name;
        let catalog = catalog::load(&self.files).map_err(|found| diagnostic::failure(&found))?;
        if let Some(other) = catalog.devices.get(name) {
            return Err(Failure::spec(format!("the catalog has a device profile {name} already"))
                .hint(format!("It stands at {}; choose another name.", other.place)));
        }
        let path = format!("specs/{name}.yaml");
        Ok(NewFile { path, kind: FileKind::Regular, bytes: device_text(profile).into_bytes() })
    }

    /// Adds files: all of them if the catalog is in order with them, else none. What is there
    /// with the same bytes stays.
    ///
    /// # Errors
    /// Class *spec* if a file is there with other bytes, leads through a link, or if the
    /// catalog would not be in order.
    pub fn add(&self, new: Vec<NewFile>) -> Result<Vec<String>> {
        let mut files = self.files.clone();
        let mut fresh = Vec::new();
        for file in new {
            match files.get(&file.path) {
                Some(there) if there.kind == file.kind && *there.bytes == *file.bytes => continue,
                Some(_) => {
                    return Err(Failure::spec(format!("{} is there already", file.path))
                        .hint("Take it away or rename it, then run this again."));
                }
                None => {}
            }
            files.add(&file.path, file.kind, file.bytes.clone())?;
            fresh.push(file);
        }
        for file in &fresh {
            let above = file.path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &file.path[..at]);
            if let Some(above) = above.into_iter().find(|above| files.get(above).is_some()) {
                return Err(Failure::spec(format!(
                    "{} would lie below {above}, which is no folder",
                    file.path
                )));
            }
            if self.dir.join(&file.path).symlink_metadata().is_ok() {
                return Err(Failure::spec(format!("{} is there already", file.path)));
            }
        }
        catalog::load(&files).map_err(|found| diagnostic::failure(&found))?;
        // What is read first comes last: until then nobody misses the rest.
        fresh.sort_by_key(|file| (catalog::is_spec_path(&file.path), file.path.clone()));
        for file in &fresh {
            file.write(&self.dir)?;
        }
        Ok(fresh.into_iter().map(|file| file.path).collect())
    }
}

impl NewFile {
    fn write(&self, dir: &std::path::Path) -> Result<()> {
        use crate::model::failure::IoContext;
        let to = dir.join(&self.path);
        match self.kind {
            FileKind::Regular => write_atomic(&to, &self.bytes, 0o644),
            FileKind::Executable => write_atomic(&to, &self.bytes, 0o755),
            FileKind::Symlink => {
                use std::os::unix::ffi::OsStrExt;
                let folder = crate::effects::files::parent(&to);
                std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&self.bytes), &to)
                    .during(|| format!("making {}", to.display()))
            }
        }
    }
}
