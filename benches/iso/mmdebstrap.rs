//! mmdebstrap, then the steps that a person adds by hand: configuration, squashfs, ISO.

use crate::contained::contained;
use crate::image::{COMMAND_LINE, Image, NAME, OVERLAY_FILE, SUITE, write};
use crate::measure::{Cost, Group};
use crate::report::{Case, Part, Row};
use bootwright::effects::files::remove_tree;
use bootwright::effects::{Cancel, Process};
use bootwright::model::failure::IoContext;
use bootwright::model::{Failure, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Builds the image with mmdebstrap.
pub struct Mmdebstrap<'a> {
    image: &'a Image,
    group: &'a Group,
    folder: PathBuf,
}

impl<'a> Mmdebstrap<'a> {
    /// Works in `folder`.
    pub fn new(image: &'a Image, group: &'a Group, folder: PathBuf) -> Result<Self> {
        for name in ["debs", "tmp"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        }
        if folder.to_string_lossy().contains(['\'', '"', ' ']) {
            return Err(Failure::host("hooks of mmdebstrap need a work folder without quotes and spaces"));
        }
        image.write_customize(&folder.join("customize.sh"))?;
        Ok(Self { image, group, folder })
    }

    /// Fills the folder of packages by a first build that is not measured.
    pub fn warm(&self) -> Result<()> {
        if self.debs()?.next().is_none() { self.root(Some("customize")) } else { Ok(()) }
    }

    /// Full and changed builds, with a squashfs at each of `levels`. mmdebstrap keeps
    /// nothing but packages: after a change it begins anew. Who keeps the root folder and
    /// changes the file there pays for squashfs and ISO only; that is the third row.
    pub fn rows(&self, levels: &[i32]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (case, line) in [(Case::Full, 0), (Case::Change, 1)] {
            self.image.set_line(line)?;
            let ((), root) = self.group.measure(|| self.root(None))?;
            for &level in levels {
                let (iso_bytes, iso) = self.group.measure(|| self.iso(level))?;
                let row = |how: &str, cost: Cost, parts| -> Result<Row> {
                    let tool = format!("mmdebstrap{how}, zstd-{level}");
                    Ok(Row { tool, case, cost, iso_bytes, packages: self.packages()?, parts })
                };
                let parts = vec![Part::of("root", root), Part::of("squashfs and ISO", iso)];
                rows.push(row("", root + iso, parts)?);
                if case == Case::Change {
                    rows.push(row(" with the root kept by hand", iso, Vec::new())?);
                }
            }
        }
        Ok(rows)
    }

    fn rootfs(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn debs(&self) -> Result<impl Iterator<Item = PathBuf>> {
        let folder = self.folder.join("debs");
        let found = fs::read_dir(&folder).during(|| format!("reading {}", folder.display()))?;
        Ok(found.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "deb")))
    }

    /// Makes the root folder. `keep` names the step after which its packages are kept.
    fn root(&self, keep: Option<&str>) -> Result<()> {
        let (root, at) = (self.rootfs(), self.folder.display());
        remove_tree(&root)?;
        let overlay = self.image.overlay().join(OVERLAY_FILE);
        let mut process = contained("mmdebstrap")
            .args(["--mode=root", "--variant=minbase", "--format=directory", "--skip=download/empty"])
            .args(["--skip=essential/unlink", "--aptopt=APT::Install-Recommends \"false\""])
            .args(["--aptopt=Acquire::Languages \"none\"", "--aptopt=Dpkg::Use-Pty \"false\""])
            .arg(format!("--include={}", self.image.packages.join(",")))
            .arg("--setup-hook=mkdir -p \"$1/var/cache/apt/archives\"")
            .arg(format!("--setup-hook=cp -al {at}/debs/. \"$1/var/cache/apt/archives/\""));
        if let Some(step) = keep {
            process =
                process.arg(format!("--{step}-hook=cp -al \"$1\"/var/cache/apt/archives/*.deb {at}/debs/"));
        }
        process
            .arg(format!("--customize-hook={at}/customize.sh \"$1\""))
            .arg(format!("--customize-hook=cp {} \"$1/{OVERLAY_FILE}\"", overlay.display()))
            .args([SUITE, &root.to_string_lossy(), "-"])
            .env("TMPDIR", self.folder.join("tmp"))
            .stdin(self.image.sources())
            .check(&Cancel::default())
            .map(|_| ())
    }

    /// Makes squashfs and ISO; its size in bytes.
    fn iso(&self, level: i32) -> Result<u64> {
        let (root, tree) = (self.rootfs(), self.folder.join("iso"));
        remove_tree(&tree)?;
        let entry = format!("linux /live/vmlinuz {COMMAND_LINE}\ninitrd /live/initrd.img\n");
        write(&tree.join("boot/grub/grub.cfg"), &format!("set timeout=1\nmenuentry live {{\n{entry}}}\n"))?;
        let live = tree.join("live");
        fs::create_dir_all(&live).during(|| format!("making {}", live.display()))?;
        copy_first(&root.join("boot"), "vmlinuz-", &live.join("vmlinuz"))?;
        copy_first(&root.join("boot"), "initrd.img-", &live.join("initrd.img"))?;
        Process::new("mksquashfs")
            .args([&root, &live.join("filesystem.squashfs")])
            .args(["-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level"])
            .arg(level.to_string())
            .args(["-wildcards", "-e", "boot/*", "proc/*", "sys/*", "dev/*", "tmp/*", "run/*"])
            .check(&Cancel::default())?;
        let iso = self.folder.join(format!("{NAME}.iso"));
        Process::new("grub-mkrescue").arg("-o").args([&iso, &tree]).check(&Cancel::default())?;
        Ok(iso.metadata().during(|| format!("looking at {}", iso.display()))?.len())
    }

    fn packages(&self) -> Result<usize> {
        let path = self.rootfs().join("var/lib/dpkg/status");
        let text = fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
        Ok(text.lines().filter(|l| *l == "Status: install ok installed").count())
    }
}

fn copy_first(folder: &Path, prefix: &str, to: &Path) -> Result<()> {
    let found = fs::read_dir(folder).during(|| format!("reading {}", folder.display()))?;
    let from = found
        .flatten()
        .find(|e| e.file_name().to_string_lossy().starts_with(prefix))
        .ok_or_else(|| Failure::bug(format!("{} has no {prefix}*", folder.display())))?
        .path();
    fs::copy(&from, to).during(|| format!("copying {}", from.display())).map(|_| ())
}
