//! emerge: Gentoo, from signed binary packages. Nothing is ever compiled.
//!
//! The host's portage works on the root from outside, with a configuration of ours. It resolves
//! with the binary host's index when a lock is made, and looks at every package's own signature
//! when it installs.

mod binhost;
mod install;
mod lock;
mod portage;

use super::{Installation, Manager, Question, Traces, outside, pins};
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::Cancel;
use crate::model::artifact::InstalledPackage;
use crate::model::failure::IoContext;
use crate::model::lock::LockedPackage;
use crate::model::spec::Architecture;
use crate::model::{Failure, Lock, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Where portage keeps what is installed: `CATEGORY/NAME-VERSION/FIELD`.
const DATABASE: &str = "var/db/pkg";
/// The longest field that is read.
const FIELD_LIMIT: u64 = 4 << 20;

/// emerge: Gentoo.
pub(super) struct Emerge;

impl Manager for Emerge {
    fn lock(&self, question: &Question<'_>) -> Result<Lock> {
        lock::lock(question)
    }

    fn file_name(&self, i: usize, _: &LockedPackage) -> String {
        install::file_name(i)
    }

    fn bootstrap(&self, it: &Installation<'_>) -> Result<()> {
        outside::begin_root(it.sandbox.upper())?;
        install::install(it)
    }

    fn install(&self, it: &Installation<'_>) -> Result<()> {
        install::install(it)
    }

    fn extract(&self, file: &Path, root: &Path, cancel: &Cancel) -> Result<()> {
        let bytes = std::fs::read(file).during(|| format!("reading {}", file.display()))?;
        outside::extract_tar(&image(&bytes, &file.display().to_string())?[..], root, cancel, |_| true)
    }

    fn installed(&self, stack: &Stack) -> Result<Vec<InstalledPackage>> {
        let mut found = Vec::new();
        for folder in folders(stack)? {
            let Some((name, version)) = binhost::split(&folder) else {
                return Err(Failure::bug(format!("{DATABASE}/{folder} is no installed package")));
            };
            let field = |name: &str| field(stack, &folder, name);
            let build = field("BUILD_ID")?;
            let machine = field("CHOST")?.unwrap_or_default();
            let word = |architecture: &Architecture| machine.starts_with(architecture.as_str());
            let known = [Architecture::X86_64, Architecture::Aarch64].into_iter().find(word);
            found.push(InstalledPackage {
                name: name.to_owned(),
                version: binhost::full_version(version, build.as_deref()),
                architecture: known.map(|known| binhost::keyword(known).to_owned()).unwrap_or(machine),
                source: None,
                maintainer: None,
                homepage: field("HOMEPAGE")?.and_then(|h| h.split(' ').next().map(str::to_owned)),
                sha256: None,
            });
        }
        found.sort();
        Ok(found)
    }

    fn unneeded(&self, lock: &Lock, stack: &Stack) -> Result<Vec<String>> {
        let (mut needs, mut brought_by) = (BTreeMap::new(), BTreeMap::new());
        for folder in folders(stack)? {
            let Some((name, _)) = binhost::split(&folder) else { continue };
            let of: &mut Vec<String> = needs.entry(name.to_owned()).or_default();
            for relation in ["RDEPEND", "PDEPEND"] {
                let text = field(stack, &folder, relation)?.unwrap_or_default();
                of.extend(text.split_whitespace().filter_map(binhost::name_of).map(str::to_owned));
            }
            brought_by.insert(name.to_owned(), vec![name.to_owned()]);
        }
        // Who was asked for without a category is asked for by the name alone.
        let asked: Vec<&str> =
            lock.request.layers.iter().flat_map(|l| &l.packages).map(|name| name.as_str()).collect();
        let full = needs.keys().filter(|n| n.split_once('/').is_some_and(|(_, name)| asked.contains(&name)));
        let todo = full.cloned().collect();
        Ok(pins::stale(lock, todo, &needs, &brought_by))
    }

    fn traces(&self) -> Traces {
        Traces {
            emptied: &["var/cache/edb", "var/cache/binpkgs", "var/cache/distfiles", "var/tmp/portage"],
            removed: &["var/log/emerge.log", "var/log/emerge-fetch.log", "var/log/portage/elog/summary.log"],
        }
    }
}

/// The folders of the database: `CATEGORY/NAME-VERSION`.
fn folders(stack: &Stack) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for category in union::names(stack, DATABASE)?.unwrap_or_default() {
        let category = category.to_string_lossy().into_owned();
        for name in union::names(stack, Path::new(DATABASE).join(&category))?.unwrap_or_default() {
            let name = name.to_string_lossy();
            // What portage is in the middle of begins with `-`; its locks with a dot.
            if !name.starts_with(['-', '.']) {
                found.push(format!("{category}/{name}"));
            }
        }
    }
    Ok(found)
}

fn field(stack: &Stack, folder: &str, name: &str) -> Result<Option<String>> {
    let bytes = union::read(stack, Path::new(DATABASE).join(folder).join(name), FIELD_LIMIT)?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Ok(text.filter(|text| !text.is_empty()))
}

/// The files of a package (GLEP 78): `image/` of the archive `image.tar` in the archive.
fn image(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let during = || format!("reading {name}");
    for entry in tar::Archive::new(bytes).entries().during(during)? {
        let mut entry = entry.during(during)?;
        let path = entry.path().during(during)?.into_owned();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !file.starts_with("image.tar") || file.ends_with(".sig") {
            continue;
        }
        let mut packed = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut packed).during(during)?;
        return without_prefix(&outside::unpack(&packed, name)?, name);
    }
    Err(Failure::upstream(format!("{name} is no binary package of Gentoo")))
}

fn without_prefix(bytes: &[u8], name: &str) -> Result<Vec<u8>> {
    let during = || format!("reading {name}");
    let mut out = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(bytes).entries().during(during)? {
        let mut entry = entry.during(during)?;
        let path = entry.path().during(during)?.into_owned();
        let Ok(rest) = path.strip_prefix("image") else { continue };
        if rest.as_os_str().is_empty() {
            continue;
        }
        let mut header = entry.header().clone();
        match entry.link_name().during(during)?.map(std::borrow::Cow::into_owned) {
            Some(to) => {
                let hard = header.entry_type().is_hard_link();
                let to = if hard { to.strip_prefix("image").unwrap_or(&to).to_owned() } else { to };
                out.append_link(&mut header, rest, to).during(during)?;
            }
            None => out.append_data(&mut header, rest, &mut entry).during(during)?,
        }
    }
    out.into_inner().during(during)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_package_come_out() {
        let mut inner = tar::Builder::new(Vec::new());
        let file = |builder: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            builder.append_data(&mut header, path, bytes).unwrap();
        };
        file(&mut inner, "image/usr/share/hi", b"hi");
        let mut outer = tar::Builder::new(Vec::new());
        file(&mut outer, "hello-1/gpkg-1", b"");
        file(
            &mut outer,
            "hello-1/image.tar.zst",
            &zstd::encode_all(&inner.into_inner().unwrap()[..], 1).unwrap(),
        );
        let bytes = outer.into_inner().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (package, root) = (folder.path().join("p"), folder.path().join("root"));
        std::fs::write(&package, bytes).unwrap();
        std::fs::create_dir(&root).unwrap();
        Emerge.extract(&package, &root, &Cancel::default()).unwrap();
        assert_eq!(std::fs::read(root.join("usr/share/hi")).unwrap(), b"hi");
        std::fs::write(&package, "no package").unwrap();
        assert!(Emerge.extract(&package, &root, &Cancel::default()).is_err());
    }
}
