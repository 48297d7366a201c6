//! Looks into the images of a firmware: that they are what the Image Builder listed, and that their
//! root file system has the overlay, the first-boot script and the packages. What holds a whole disk for a
//! target that a virtual machine can play is then started and asked the same.
//!
//! Nothing of an image is run on the host, and no link of it is followed there. That a list says what is
//! in it is not enough: a `FILES` folder that is not found is no error to the Image Builder.

mod booted;
mod console;
mod root;

use super::root::check;
use super::{Judgement, Options, same_bytes};
use crate::effects::files::WorkFolder;
use crate::effects::process::find_tool;
use crate::effects::{Cancel, Process, Task};
use crate::model::event::Emitter;
use crate::model::evidence::{Check, Evidence, Verdict};
use crate::model::failure::IoContext;
use crate::model::firmware::{FirmwareFile, FirmwareOrder, ImageFile, ManifestPackage};
use crate::model::firmware_lock::{FirmwareLock, diff};
use crate::model::release::FirmwareFacts;
use crate::model::{Artifact, Digest, Failure, FailureClass, Result};
use root::{Found, Squashfs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Raised when firmware is looked at in another way: earlier evidence does not count then.
pub const FIRMWARE_CHECKS: u32 = 2;
/// How long unpacking may take.
const LIMIT: Duration = Duration::from_mins(20);
/// No file that is looked at is longer, in bytes.
const LONGEST: u64 = 256 << 20;
/// Where opkg and apk keep what is installed.
const OPKG: &str = "usr/lib/opkg/status";
const APK: &str = "lib/apk/db/installed";
/// Links to the services that are started.
const STARTED: &str = "etc/rc.d";
/// So many of one kind of complaint are shown.
const SHOWN: usize = 10;

/// What a firmware was promised to be.
#[derive(Clone, Copy, Debug)]
pub struct Promised<'a> {
    /// What it was made from.
    pub order: &'a FirmwareOrder,
    /// The packages.
    pub lock: &'a FirmwareLock,
    /// What the Image Builder said of it.
    pub facts: &'a FirmwareFacts,
}

/// Looks into one image of a firmware, and starts it where that can be done. That it is refused is in the evidence, not an error.
///
/// # Errors
/// Class *host* if a tool is missing or the disk is full; *cancelled* on request.
pub fn firmware(
    artifact: &Artifact,
    promised: &Promised<'_>,
    options: &Options,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<Evidence> {
    let started = options.clock.now();
    let path = same_bytes(artifact)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let task = Task::start(events, format!("inspect {name}"));
    let work = WorkFolder::new(&options.scratch, "inspect")?;
    let began = Instant::now();
    let image = promised.facts.images.iter().find(|image| image.name == name);
    let mut checks = vec![check("listed", began, listed(&name, artifact.digest, image))];
    if let Some(image) = image {
        let began = Instant::now();
        let (judgement, opened) = match root::find(&path, work.path(), cancel)? {
            Found::Squashfs(squashfs) => {
                let judgement = Judgement { findings: vec![squashfs.words()], reasons: Vec::new() };
                (judgement, Some(squashfs))
            }
            Found::Closed(why) => (closed(image, &why), None),
        };
        checks.push(check("root", began, judgement));
        if let Some(squashfs) = opened {
            checks.extend(contents(&squashfs, promised, work.path(), cancel)?);
        }
    }
    let refused = checks.iter().filter(|c| c.verdict != Verdict::Passed).count();
    task.finish(if refused == 0 { "passed".to_owned() } else { format!("{refused} checks refused") });
    let mut environment = vec![unsquashfs_version(cancel)?];
    drop(work);
    let mode = image.and_then(|image| Some((image, promised.facts.boot_mode(image)?)));
    if let Some((image, mode)) = mode.filter(|_| refused == 0) {
        let (boot, words) = booted::started((image, &path), mode, promised, options, (events, cancel))?;
        checks.push(boot);
        environment.extend(words);
    } else if let Some(why) = &promised.facts.not_booted {
        environment.push(format!("not booted: {why}"));
    } else if mode.is_none() {
        environment.push(format!("not booted: {name} is not a whole disk"));
    }
    Ok(Evidence { artifact: artifact.digest, kind: artifact.kind, environment, started, checks })
}

/// Unpacks the root file system of an image into a folder below `work`, if it can be opened here.
///
/// # Errors
/// If it is damaged, a tool is missing or the disk is full; *cancelled* on request.
pub fn root_of_firmware(image: &Path, work: &Path, cancel: &Cancel) -> Result<Option<PathBuf>> {
    let Found::Squashfs(squashfs) = root::find(image, work, cancel)? else { return Ok(None) };
    let to = work.join("root");
    unpack(&squashfs, std::iter::empty(), &to, cancel)?;
    Ok(Some(to))
}

/// It is one of the images that `profiles.json` lists, byte for byte.
fn listed(name: &str, digest: Digest, image: Option<&ImageFile>) -> Judgement {
    let mut judgement = Judgement::default();
    match image {
        Some(image) if image.sha256 == digest => {
            judgement.findings.push(format!("{}: as profiles.json and sha256sums list it", image.kind));
        }
        Some(image) => {
            judgement.reasons.push(format!("{name} is {digest}, profiles.json lists {}", image.sha256));
        }
        None => judgement.reasons.push(format!("profiles.json does not list {name}")),
    }
    judgement
}

/// An image whose root file system cannot be opened here. One that says of itself that it has a
/// squashfs must have one.
fn closed(image: &ImageFile, why: &str) -> Judgement {
    let promised = image.filesystem.as_deref() == Some("squashfs") && !why.starts_with(root::UBI);
    match promised {
        true => Judgement { findings: Vec::new(), reasons: vec![format!("{}: {why}", image.name)] },
        false => Judgement { findings: vec![format!("not opened: {why}")], reasons: Vec::new() },
    }
}

/// What is in the root file system, held against what was promised.
fn contents(
    squashfs: &Squashfs,
    promised: &Promised<'_>,
    work: &Path,
    cancel: &Cancel,
) -> Result<Vec<Check>> {
    let began = Instant::now();
    let to = work.join("root");
    let files = &promised.order.recipe.files;
    let wanted = files.iter().map(|file| file.path.as_str()).chain([OPKG, APK, STARTED]);
    if let Err(failure) = unpack(squashfs, wanted, &to, cancel) {
        // The tool could not read it: that is the image's.
        if !matches!(failure.class, FailureClass::Verify | FailureClass::Bug) {
            return Err(failure);
        }
        let words = failure.details.map(|d| format!(": {d}")).unwrap_or_default();
        let reasons = vec![format!("{}{words}", failure.message)];
        return Ok(vec![check("unpack", began, Judgement { reasons, findings: Vec::new() })]);
    }
    let mut checks = vec![check("unpack", began, Judgement::default())];
    let root = Root(to);
    let began = Instant::now();
    checks.push(check("overlay", began, root.overlay(files)?));
    let began = Instant::now();
    checks.push(check("packages", began, root.packages(&promised.lock.packages)?));
    let began = Instant::now();
    let disabled = promised.order.recipe.disabled_services.iter().map(|service| service.as_str());
    checks.push(check("services", began, root.services(disabled)?));
    Ok(checks)
}

/// Unpacks some paths of a squashfs, as they are named: `*` is no pattern.
fn unpack<'p>(
    squashfs: &Squashfs,
    paths: impl Iterator<Item = &'p str>,
    to: &Path,
    cancel: &Cancel,
) -> Result<()> {
    let unpack = Process::new("unsquashfs")
        .args(["-no-progress", "-no-xattrs", "-no-wildcards", "-quiet", "-processors", "1"])
        .args(["-offset", &squashfs.offset.to_string()])
        .arg("-dest")
        .arg(to)
        .arg(&squashfs.file)
        .args(paths)
        .timeout(LIMIT);
    unpack.check(cancel).map(drop)
}

/// What was unpacked of a root file system.
struct Root(PathBuf);

impl Root {
    /// A place in it, if nothing on the way there is a link.
    fn place(&self, path: &str) -> Option<(PathBuf, std::fs::Metadata)> {
        let mut place = self.0.clone();
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            place.push(part);
            let metadata = place.symlink_metadata().ok()?;
            if parts.peek().is_none() {
                return Some((place, metadata));
            }
            if metadata.is_symlink() {
                return None;
            }
        }
        None
    }

    fn text(&self, path: &str) -> Result<Option<String>> {
        let Some((place, _)) = self.place(path).filter(|(_, metadata)| metadata.is_file()) else {
            return Ok(None);
        };
        let bytes = crate::effects::files::read_if_exists(&place, LONGEST)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Every file that was laid over it is there with its bytes and its mode.
    fn overlay(&self, files: &[FirmwareFile]) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        for file in files {
            judgement.reasons.extend(self.differs(file)?.map(|how| format!("/{}: {how}", file.path)));
        }
        judgement.findings.push(format!("files of the overlay: {}", files.len()));
        shorten(&mut judgement.reasons);
        Ok(judgement)
    }

    fn differs(&self, file: &FirmwareFile) -> Result<Option<String>> {
        let Some((place, metadata)) = self.place(&file.path) else {
            return Ok(Some("it is not in the image".to_owned()));
        };
        if let Some(target) = &file.link {
            let there = std::fs::read_link(&place).ok();
            let right = there.as_deref() == Some(Path::new(target));
            return Ok((!right).then(|| format!("it is no link to {target}")));
        }
        if !metadata.is_file() {
            return Ok(Some("it is no file".to_owned()));
        }
        let wanted = if file.executable { 0o755 } else { 0o644 };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != wanted {
            return Ok(Some(format!("its mode is {mode:04o}, {wanted:04o} was asked for")));
        }
        let (digest, _) = crate::effects::files::digest_file(&place)?;
        Ok((file.sha256 != Some(digest)).then(|| "it has other bytes than the catalog's".to_owned()))
    }

    /// Its package manager knows the packages of the lock in their versions, and no others.
    fn packages(&self, locked: &[ManifestPackage]) -> Result<Judgement> {
        let mut judgement = Judgement::default();
        let (packages, of) = match (self.text(APK)?, self.text(OPKG)?) {
            (Some(text), _) => (stanzas(&text, "P:", "V:"), "apk"),
            (None, Some(text)) => (stanzas(&text, "Package: ", "Version: "), "opkg"),
            (None, None) => {
                judgement.reasons.push(format!("there is neither /{APK} nor /{OPKG}"));
                return Ok(judgement);
            }
        };
        judgement.findings.push(format!("packages that {of} knows: {}", packages.len()));
        let changes = diff(locked, &packages);
        judgement.reasons.extend(changes.iter().map(|change| format!("not as locked: {change}")));
        shorten(&mut judgement.reasons);
        Ok(judgement)
    }

    /// No service is started that was to be off.
    fn services<'s>(&self, disabled: impl Iterator<Item = &'s str>) -> Result<Judgement> {
        let mut started: Vec<String> = Vec::new();
        if let Some((folder, _)) = self.place(STARTED).filter(|(_, metadata)| metadata.is_dir()) {
            let reading = || format!("reading {}", folder.display());
            for entry in std::fs::read_dir(&folder).during(reading)? {
                started.push(entry.during(reading)?.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(off(&started, disabled))
    }
}

/// None of the links to started services is one of those that were to be off.
fn off<'s>(started: &[String], disabled: impl Iterator<Item = &'s str>) -> Judgement {
    let mut judgement = Judgement::default();
    let mut count = 0;
    for service in disabled {
        count += 1;
        // `S` or `K`, two digits, the name.
        let is_started = |link: &String| link.starts_with('S') && link.get(3..) == Some(service);
        if started.iter().any(is_started) {
            judgement.reasons.push(format!("the service {service} is started, and was to be off"));
        }
    }
    judgement.findings.push(format!("services that are off: {count}"));
    judgement
}

/// The packages of a database of stanzas: a line with the name, one with the version.
fn stanzas(text: &str, name: &str, version: &str) -> Vec<ManifestPackage> {
    let packages = text.split("\n\n").filter_map(|stanza| {
        let line = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key));
        ManifestPackage::parse(&format!("{} - {}", line(name)?.trim(), line(version)?.trim()))
    });
    packages.collect()
}

fn shorten(reasons: &mut Vec<String>) {
    let more = reasons.len().saturating_sub(SHOWN);
    if more > 0 {
        reasons.truncate(SHOWN);
        reasons.push(format!("and {more} more"));
    }
}

fn unsquashfs_version(cancel: &Cancel) -> Result<String> {
    find_tool("unsquashfs").ok_or_else(|| {
        Failure::host("unsquashfs is not installed").hint("Run `bootwright doctor --install`.")
    })?;
    // It says its version and ends with 1.
    let output = Process::new("unsquashfs").arg("-version").run(cancel)?;
    Ok(output.text().lines().next().unwrap_or("unsquashfs").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_of_both_kinds_are_read() {
        let opkg = "Package: busybox\nVersion: 1.36-r1\nStatus: install ok installed\n\nPackage: luci\nVersion: 25.1\n";
        let apk = "C:Q1\nP:busybox\nV:1.36-r1\nF:bin\nR:busybox\n\nP:luci\nV:25.1\n";
        let (a, b) = (stanzas(opkg, "Package: ", "Version: "), stanzas(apk, "P:", "V:"));
        assert_eq!((a.len(), &a), (2, &b));
        assert!(stanzas("P:../x\nV:1\n\nP:y\n", "P:", "V:").is_empty());
    }
}
