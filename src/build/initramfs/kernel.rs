//! The one kernel of a root: its version, and its image.

use crate::build::stack::StackedLayer;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::path::{Path, PathBuf};

/// Where modules are; the second one where `/lib` is a folder of its own.
const MODULES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// Version and image of the one kernel that the layers bring: beside its modules where the
/// distribution puts it there (kernel-install(8)), else in `/boot`, named by its version or, as
/// Alpine does, by the end of it: `vmlinuz-lts` of `6.12.1-0-lts`.
///
/// # Errors
/// Class *spec* if there is none, or more than one.
pub(super) fn find(layers: &[StackedLayer]) -> Result<(String, PathBuf)> {
    let (mut beside, mut in_boot, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for layer in layers {
        for (version, folder) in MODULES.iter().flat_map(|path| entries(&layer.folder, path)) {
            let image = folder.join("vmlinuz");
            let is_folder = folder.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            if is_folder && image.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                beside.push((version.clone(), image));
            }
            versions.push(version);
        }
        for (name, path) in entries(&layer.folder, "boot") {
            if let Some(version) = name.strip_prefix("vmlinuz-") {
                in_boot.push((version.to_owned(), path));
            }
        }
    }
    for (name, _) in in_boot.iter_mut().filter(|(name, _)| !name.starts_with(|c: char| c.is_ascii_digit())) {
        let end = format!("-{name}");
        if let Some(version) = versions.iter().find(|version| version.ends_with(&end)) {
            name.clone_from(version);
        }
    }
    let mut found = if beside.is_empty() { in_boot } else { beside };
    match found.len() {
        1 => {
            let (version, image) = found.remove(0);
            Ok((checked_version(&version)?, regular(&image)?))
        }
        0 => Err(Failure::spec("the image has no kernel in /boot or beside its modules")),
        _ => Err(Failure::spec(format!(
            "the image has {} kernels: {}",
            found.len(),
            found.iter().map(|(v, _)| v.as_str()).collect::<Vec<_>>().join(", ")
        ))
        .hint("Remove all but one kernel package from the spec.")),
    }
}

/// Names and paths in a folder of a layer. No link is followed to it: that would lead out of
/// the layer.
fn entries(layer: &Path, path: &str) -> Vec<(String, PathBuf)> {
    let mut folder = layer.to_owned();
    for part in Path::new(path) {
        folder.push(part);
        if !folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            return Vec::new();
        }
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path()))).collect()
}

/// A version that is a word of command lines and a name of a folder, and no option.
fn checked_version(version: &str) -> Result<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-~".contains(&b);
    if version.starts_with(|c: char| c.is_ascii_digit()) && version.bytes().all(plain) {
        Ok(version.to_owned())
    } else {
        Err(Failure::spec(format!("{version:?} is no version of a kernel"))
            .hint("Look at the kernel packages of the image."))
    }
}

fn regular(path: &Path) -> Result<PathBuf> {
    let meta = path.symlink_metadata().during(|| format!("looking at {}", path.display()))?;
    if meta.is_file() {
        Ok(path.to_owned())
    } else {
        Err(Failure::spec(format!("{} is no regular file", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::model::recipe::LayerId;
    use std::os::unix::fs::symlink;

    /// What is found in a layer with these files.
    fn found(files: &[&str], links: &[(&str, &str)]) -> Result<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        for (link, to) in links {
            symlink(to, folder.path().join(link)).unwrap();
        }
        let layer = StackedLayer {
            name: "kernel".to_owned(),
            id: LayerId(Digest::of("x")),
            epoch: 0,
            folder: folder.path().to_owned(),
            cached: false,
            size: 0,
        };
        let (version, image) = find(&[layer])?;
        Ok((version, image.strip_prefix(folder.path()).unwrap().display().to_string()))
    }

    #[test]
    fn the_kernel_of_every_distribution_is_found() {
        for (files, version, image) in [
            (&["usr/lib/modules/6.1-1/modules.dep", "boot/vmlinuz-6.1-1"][..], "6.1-1", "boot/vmlinuz-6.1-1"),
            (&["usr/lib/modules/6.6/vmlinuz", "boot/vmlinuz-linux"], "6.6", "usr/lib/modules/6.6/vmlinuz"),
            (
                &["lib/modules/6.12.1-0-lts/modules.dep", "boot/vmlinuz-lts"],
                "6.12.1-0-lts",
                "boot/vmlinuz-lts",
            ),
        ] {
            assert_eq!(found(files, &[]).unwrap(), (version.to_owned(), image.to_owned()));
        }
        // `/lib` is a link: its modules are not met twice.
        let merged = found(&["usr/lib/modules/6.6/vmlinuz"], &[("lib", "usr/lib")]).unwrap();
        assert_eq!(merged.0, "6.6");
    }

    #[test]
    fn none_two_and_strange_ones_are_refused() {
        let words = |files: &[&str]| found(files, &[]).unwrap_err().message;
        assert!(words(&["etc/motd"]).contains("no kernel"));
        assert!(words(&["boot/vmlinuz-6.1", "boot/vmlinuz-6.6"]).contains("2 kernels: 6."));
        assert!(words(&["boot/vmlinuz-lts"]).contains("\"lts\" is no version"));
        assert!(words(&["boot/vmlinuz-6 -x"]).contains("is no version"));
        // A link that leads out of the layer is not followed.
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("6.6")).unwrap();
        std::fs::write(host.path().join("6.6/vmlinuz"), "the host's").unwrap();
        let outside = host.path().to_str().unwrap();
        assert!(found(&["usr/lib/x"], &[("usr/lib/modules", outside)]).is_err());
        let one = format!("{outside}/6.6");
        assert!(found(&["usr/lib/modules/x"], &[("usr/lib/modules/6.6", &one)]).is_err());
    }
}
