//! Which packages a firmware will have: `make manifest`, before anything is built.
//!
//! The Image Builder installs them for that, so it is known too how large they are.

use super::builders::wait_for;
use super::firmware::Firmwares;
use super::make::{self, BUILDER, Choice, DOWNLOADS};
use crate::build::cache::{lock_of, stamp};
use crate::effects::process::Output;
use crate::effects::{Point, Sandbox, point};
use crate::model::Result;
use crate::model::failure::IoContext;
use crate::model::firmware::ManifestPackage;
use std::path::{Path, PathBuf};

/// What packages a choice comes to.
pub(super) struct Chosen {
    /// The packages, sorted by name.
    pub packages: Vec<ManifestPackage>,
    /// Bytes of their files as they are installed.
    pub installed: u64,
    /// The time that all files of a build carry, in seconds since 1970, where the Image Builder
    /// says it.
    pub epoch: Option<i64>,
}

/// How packages are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// As they are installed: `libncurses6`.
    Installed,
    /// Without the version of their binary interface: `libncurses`.
    WithoutAbi,
}

/// Asks the Image Builder.
///
/// # Errors
/// Why it failed, as its log says.
pub(super) fn ask(
    firmwares: &Firmwares<'_>,
    choice: Choice<'_>,
    names: Names,
    name: &str,
    work: &Path,
) -> Result<Chosen> {
    let fresh = |name: &str| -> Result<PathBuf> {
        let path = work.join(name);
        std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
        Ok(path)
    };
    let servers = make::has_servers(choice)?;
    let kept = firmwares.cache.openwrt_packages(&choice.builder.record.sha256);
    let _alone = match servers {
        true => Some(wait_for(&lock_of(&kept), name, firmwares.events, firmwares.cancel)?),
        false => None,
    };
    let network = servers && !firmwares.offline;
    let downloads = if network { kept.clone() } else { fresh("downloads")? };
    std::fs::create_dir_all(&downloads).during(|| format!("making {}", downloads.display()))?;
    if servers && !network {
        make::copy_packages(&kept, &downloads)?;
    }
    let mut sandbox = make::sandbox(choice, &fresh("overlay")?)?
        .bind_writable(&downloads, format!("{BUILDER}/{DOWNLOADS}"));
    if network {
        sandbox = sandbox.with_network();
    }
    let output = list(firmwares, choice, names, &sandbox, name, network)?;
    if network {
        stamp(&kept)?;
        point(Point::FirmwareFetched)?;
    }
    // Between the lines of the manifest other targets may speak.
    let text = output.text();
    let mut packages: Vec<ManifestPackage> = text.lines().filter_map(ManifestPackage::parse).collect();
    packages.sort();
    packages.dedup();
    if packages.is_empty() {
        return Err(make::failed(firmwares, choice, &output, name, network));
    }
    let epoch = make::epoch(choice.builder)?.and_then(|epoch| epoch.parse().ok());
    Ok(Chosen { packages, installed: installed(sandbox.upper())?, epoch })
}

/// `make manifest`.
pub(super) fn list(
    firmwares: &Firmwares<'_>,
    choice: Choice<'_>,
    names: Names,
    sandbox: &Sandbox,
    name: &str,
    network: bool,
) -> Result<Output> {
    let mut arguments = vec!["manifest".to_owned()];
    arguments.extend(choice.arguments());
    if names == Names::WithoutAbi {
        arguments.push("STRIP_ABI=1".to_owned());
    }
    let output = make::process(firmwares, sandbox, &arguments, name)?.run(firmwares.cancel)?;
    match output.status.success() {
        true => Ok(output),
        false => Err(make::failed(firmwares, choice, &output, name, network)),
    }
}

/// Bytes of the files that were installed: below `build_dir` lies a folder for each target with the
/// root of its firmware in it.
fn installed(upper: &Path) -> Result<u64> {
    let is_root = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name == "root" || name.starts_with("root-"))
    };
    let (_, above) = look(&upper.join("build_dir"))?;
    let mut sum = 0;
    for target in above {
        let roots = if is_root(&target) { vec![target] } else { look(&target)?.1 };
        for root in roots.iter().filter(|path| is_root(path)) {
            let mut folders = vec![root.clone()];
            while let Some(folder) = folders.pop() {
                let (bytes, below) = look(&folder)?;
                sum += bytes;
                folders.extend(below);
            }
        }
    }
    Ok(sum)
}

/// The bytes of the files in a folder, and the folders in it; links are neither.
fn look(folder: &Path) -> Result<(u64, Vec<PathBuf>)> {
    let reading = || format!("reading {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        entries => entries.during(reading)?,
    };
    let (mut bytes, mut folders) = (0, Vec::new());
    for entry in entries {
        let entry = entry.during(reading)?;
        // `DirEntry::metadata` does not follow links.
        let metadata = entry.metadata().during(reading)?;
        if metadata.is_dir() {
            folders.push(entry.path());
        } else if metadata.is_file() {
            bytes += metadata.len();
        }
    }
    Ok((bytes, folders))
}
