//! Which layers share a module.
//!
//! Each module costs the live system seconds when it starts (a loop device, udev, a mount,
//! dozens of processes of shell), so small layers that lie next to each other become one.
//! Large ones stay alone: a small change shall not compress them again. What comes from
//! packages and what comes from the spec's own lines stay apart for the same reason.

use crate::build::entry::{Entry, Kind};
use crate::build::stack::{self, StackedLayer};
use crate::build::union;
use crate::model::failure::IoContext;
use crate::model::{Digest, Failure, Result};
use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// A layer of this many bytes or more is a module of its own.
const LARGE: u64 = 32 << 20;
/// Layers share a module up to this many bytes.
const FULL: u64 = 96 << 20;
/// The first layer that is made of the spec's own lines and not of packages.
const OWN_LINES: &str = "configuration";

/// The layer that the live medium alone has: an installer leaves its module out.
const LIVE: &str = crate::build::layers::LIVE;

/// Neighbouring layers that are one module, bottom first; never empty.
#[derive(Debug)]
pub(super) struct Group<'a> {
    layers: &'a [StackedLayer],
    /// Whether nothing lies below: what hides something hides only parts of itself.
    flat: bool,
}

/// All layers as one module, for live systems that stack none.
pub(super) fn flat(layers: &[StackedLayer]) -> Group<'_> {
    Group { layers, flat: true }
}

/// Cuts a stack into modules, bottom first. Depends on the layers' names and sizes only.
///
/// # Errors
/// Class *bug* if a layer's name is none.
pub(super) fn groups(layers: &[StackedLayer]) -> Result<Vec<Group<'_>>> {
    // live-boot reads the list of modules word by word, through a shell.
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if let Some(bad) = layers.iter().find(|l| l.name.is_empty() || !l.name.bytes().all(safe)) {
        return Err(Failure::bug(format!("{:?} is no name for a layer", bad.name)));
    }
    let mut groups = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (i, layer) in layers.iter().enumerate() {
        let alone = layer.size >= LARGE || (i > start && layers[i - 1].size >= LARGE);
        if i > start
            && (alone || [OWN_LINES, LIVE].contains(&layer.name.as_str()) || size + layer.size > FULL)
        {
            groups.push(Group { layers: &layers[start..i], flat: false });
            (start, size) = (i, 0);
        }
        size += layer.size;
    }
    if start < layers.len() {
        groups.push(Group { layers: &layers[start..], flat: false });
    }
    Ok(groups)
}

impl Group<'_> {
    /// Its name on the ISO, without number and ending: `kernel`, `base-to-utils`.
    pub fn name(&self) -> String {
        match self.layers {
            [only] => only.name.clone(),
            [first, .., last] => format!("{}-to-{}", first.name, last.name),
            [] => String::new(),
        }
    }

    /// What its bytes depend on.
    pub fn id(&self) -> String {
        match self.layers {
            layers if self.flat => {
                Digest::of_json(&("flat", layers.iter().map(|l| l.id).collect::<Vec<_>>())).hex()
            }
            [only] => only.id.to_string(),
            layers => Digest::of_json(&layers.iter().map(|l| l.id).collect::<Vec<_>>()).hex(),
        }
    }

    /// Size of its files, in bytes.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|l| l.size).sum()
    }

    /// The time that its module carries, in seconds since 1970.
    pub fn epoch(&self) -> i64 {
        stack::newest(self.layers).max(0)
    }

    /// The folder that mksquashfs reads: the one layer's own, or a tree of hard links below
    /// `scratch` with the effect of all layers.
    ///
    /// # Errors
    /// If it cannot be made; class *bug* for traces of overlayfs that name this host's
    /// inodes: mksquashfs 4.5 cannot leave single attributes out.
    pub fn tree(&self, scratch: &Path) -> Result<PathBuf> {
        let folders: Vec<&Path> = self.layers.iter().map(|l| l.folder.as_path()).collect();
        let mut walk = match self.flat {
            true => union::walk_flat(&folders, self.epoch()),
            false => union::walk_layers(&folders, self.epoch()),
        };
        if let [only] = folders.as_slice() {
            walk.try_for_each(|found| found.map(drop))?;
            return Ok((*only).to_owned());
        }
        let tree = scratch.join(self.id());
        let mut filled = Vec::new();
        for found in walk {
            let mut entry = found?.entry;
            if let (Kind::Folder { opaque }, true) = (&mut entry.kind, self.flat) {
                *opaque = false;
            }
            let to = tree.join(&entry.path);
            if matches!(entry.kind, Kind::Folder { .. }) {
                std::fs::create_dir(&to).during(|| format!("making {}", to.display()))?;
                filled.push((to, entry));
            } else {
                // Of links themselves too: link(2) follows none.
                std::fs::hard_link(&entry.source, &to)
                    .during(|| format!("linking {} to {}", entry.source.display(), to.display()))?;
            }
        }
        // From the inside out: what is put into a folder changes its time.
        for (folder, entry) in filled.iter().rev() {
            dress(folder, entry)?;
        }
        Ok(tree)
    }
}

/// Gives a folder the attributes that the image has for it.
fn dress(folder: &Path, entry: &Entry) -> Result<()> {
    let dressing = || format!("setting the attributes of {}", folder.display());
    let opaque = matches!(entry.kind, Kind::Folder { opaque: true });
    let mark = opaque.then(|| ("trusted.overlay.opaque".into(), b"y".to_vec()));
    for (name, value) in entry.xattrs.iter().cloned().chain(mark) {
        rustix::fs::lsetxattr(folder, name.as_bytes(), &value, rustix::fs::XattrFlags::empty())
            .map_err(std::io::Error::from)
            .during(dressing)?;
    }
    std::os::unix::fs::chown(folder, Some(entry.uid), Some(entry.gid)).during(dressing)?;
    std::fs::set_permissions(folder, Permissions::from_mode(entry.mode)).during(dressing)?;
    let time = UNIX_EPOCH + Duration::from_secs(entry.mtime);
    File::open(folder).and_then(|f| f.set_modified(time)).during(dressing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};
    use crate::model::recipe::LayerId;
    use std::os::unix::fs::MetadataExt;

    fn layer(name: &str, size: u64, folder: &Path) -> StackedLayer {
        let id = LayerId(Digest::of(name));
        StackedLayer {
            name: name.to_owned(),
            id,
            epoch: 86_400,
            folder: folder.to_owned(),
            cached: false,
            size,
        }
    }

    fn names(layers: &[(&str, u64)]) -> Vec<String> {
        let layers: Vec<_> = layers.iter().map(|(name, mib)| layer(name, mib << 20, Path::new(""))).collect();
        groups(&layers).unwrap().iter().map(Group::name).collect()
    }

    #[test]
    fn small_neighbours_share_a_module() {
        let usual = [
            ("bootstrap", 160),
            ("kernel", 300),
            ("base", 8),
            ("security", 2),
            ("servers", 3),
            ("configuration", 0),
            ("overlay", 0),
            ("identity", 0),
        ];
        assert_eq!(names(&usual), ["bootstrap", "kernel", "base-to-servers", "configuration-to-identity"]);
        assert_eq!(names(&[("a", 1), ("b", 40), ("c", 1), ("d", 1)]), ["a", "b", "c-to-d"]);
        assert_eq!(names(&[("a", 31), ("b", 31), ("c", 31), ("d", 31)]), ["a-to-c", "d"]);
        assert_eq!(names(&[("configuration", 0)]), ["configuration"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn hostile_names_are_refused() {
        for hostile in ["", "a b", "../x", "a\nb", "A", "$(x)", "ä"] {
            assert!(groups(&[layer(hostile, 1, Path::new(""))]).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn a_shared_tree_has_the_effect_of_its_layers() {
        let dir = tempfile::tempdir().unwrap();
        let (low, high) = (dir.path().join("low"), dir.path().join("high"));
        for (path, text) in [
            ("low/etc/kept", "low"),
            ("low/etc/changed", "low"),
            ("low/etc/removed", "low"),
            ("low/hidden/below", "low"),
            ("high/etc/changed", "high"),
            ("high/hidden/above", "high"),
            ("low/sealed/low", "low"),
            ("high/sealed/high", "high"),
        ] {
            let to = dir.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, text).unwrap();
        }
        std::fs::set_permissions(high.join("etc"), Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("kept", low.join("etc/link")).unwrap();
        let cancel = Cancel::default();
        for path in ["etc/removed", "etc/below-both"] {
            Process::new("mknod").arg(high.join(path)).args(["c", "0", "0"]).check(&cancel).unwrap();
        }
        let seal = |folder: PathBuf| {
            rustix::fs::lsetxattr(folder, "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
                .unwrap();
        };
        seal(high.join("hidden"));
        seal(low.join("sealed"));
        let layers = [layer("a", 1, &low), layer("b", 1, &high)];
        let group = groups(&layers).unwrap().remove(0);
        let tree = group.tree(dir.path()).unwrap();
        let text = |path: &str| std::fs::read_to_string(tree.join(path)).unwrap();
        assert_eq!((text("etc/kept"), text("etc/changed")), ("low".to_owned(), "high".to_owned()));
        assert_eq!(tree.join("etc/link").read_link().unwrap(), Path::new("kept"));
        for whiteout in ["etc/removed", "etc/below-both"] {
            let meta = tree.join(whiteout).symlink_metadata().unwrap();
            assert!(crate::build::entry::is_whiteout(&meta), "{whiteout}");
        }
        assert!(!tree.join("hidden/below").exists() && tree.join("hidden/above").exists());
        assert!(tree.join("sealed/low").exists() && tree.join("sealed/high").exists());
        for (folder, opaque) in [("hidden", true), ("sealed", true), ("etc", false)] {
            assert_eq!(crate::build::entry::is_opaque(&tree.join(folder)).unwrap(), opaque, "{folder}");
        }
        let etc = tree.join("etc").metadata().unwrap();
        assert_eq!((etc.mode() & 0o777, etc.mtime()), (0o700, 86_400));
    }
}
