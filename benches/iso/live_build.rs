//! live-build with its default compression.

use crate::contained::contained;
use crate::image::{COMMAND_LINE, Image, OVERLAY_FILE, SUITE, write};
use crate::measure::Group;
use crate::report::{Case, Row};
use bootwright::effects::Cancel;
use bootwright::effects::files::remove_tree;
use bootwright::model::failure::IoContext;
use bootwright::model::{Failure, Result};
use std::fs;
use std::path::PathBuf;

/// What live-build compresses with unless it is told otherwise.
const DEFAULT_COMPRESSION: &str = "xz";
/// The fastest, for the build that is not measured.
const FASTEST: &str = "lz4";

/// Builds the image with live-build.
pub struct LiveBuild<'a> {
    image: &'a Image,
    group: &'a Group,
    folder: PathBuf,
}

impl<'a> LiveBuild<'a> {
    /// Works in `folder`.
    pub fn new(image: &'a Image, group: &'a Group, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        Ok(Self { image, group, folder })
    }

    /// Fills live-build's own cache of packages by a first build that is not measured.
    pub fn warm(&self) -> Result<()> {
        // Written last, so that a build that was stopped is done again.
        let done = self.folder.join("warm");
        if done.exists() {
            return Ok(());
        }
        self.configure(FASTEST)?;
        self.build()?;
        write(&done, "")
    }

    /// A full build with warm packages, then one after a changed line, with everything
    /// that live-build caches.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (case, line) in [(Case::Full, 0), (Case::Change, 1)] {
            self.image.set_line(line)?;
            if case == Case::Full {
                remove_tree(&self.folder.join("cache/bootstrap"))?;
            }
            // Cleaning up what the build before left is no part of this one; it forgets the
            // configuration too.
            self.lb(&["clean"])?;
            self.configure(DEFAULT_COMPRESSION)?;
            let ((), cost) = self.group.measure(|| self.build())?;
            let tool = format!("live-build, {DEFAULT_COMPRESSION}");
            rows.push(Row {
                tool,
                case,
                cost,
                iso_bytes: self.size()?,
                packages: self.packages()?,
                parts: Vec::new(),
            });
        }
        Ok(rows)
    }

    fn configure(&self, compression: &str) -> Result<()> {
        let missing =
            |what: &str| Failure::host(format!("the host's apt configuration has no mirror of {what}"));
        let main = self.image.mirror_of("").ok_or_else(|| missing(SUITE))?;
        let security = self.image.mirror_of("-security").ok_or_else(|| missing("security updates"))?;
        let mut options: Vec<String> = [
            "config",
            "--distribution",
            SUITE,
            "--architectures",
            "amd64",
            "--mode",
            "debian",
            "--archive-areas",
            "main",
            "--debootstrap-options",
            "--variant=minbase",
            "--apt-recommends",
            "false",
            "--apt-indices",
            "false",
            "--apt-source-archives",
            "false",
            "--binary-images",
            "iso-hybrid",
            "--bootloaders",
            "grub-pc grub-efi",
            "--uefi-secure-boot",
            "disable",
            "--firmware-chroot",
            "false",
            "--firmware-binary",
            "false",
            "--memtest",
            "none",
            "--win32-loader",
            "false",
            "--debian-installer",
            "none",
            "--linux-packages",
            "linux-image",
            "--linux-flavours",
            "amd64",
            "--cache",
            "true",
            "--cache-packages",
            "true",
            "--cache-indices",
            "false",
            "--bootappend-live",
            COMMAND_LINE,
            "--chroot-squashfs-compression-type",
            compression,
        ]
        .map(str::to_owned)
        .to_vec();
        for (mirror, suffix) in [(&main, ""), (&security, "-security")] {
            for stage in
                ["bootstrap", "chroot", "binary"].iter().filter(|s| suffix.is_empty() || **s != "bootstrap")
            {
                for parent in ["", "parent-"] {
                    options.extend([format!("--{parent}mirror-{stage}{suffix}"), mirror.clone()]);
                }
            }
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        self.lb(&options)?;
        let wanted = self.image.packages.iter().filter(|p| !p.starts_with("linux-image"));
        let list: String = wanted.map(|p| format!("{p}\n")).collect();
        write(&self.folder.join("config/package-lists/standard.list.chroot"), &list)?;
        self.image.write_customize(&self.folder.join("config/hooks/normal/9000-standard.hook.chroot"))?;
        self.include_overlay()
    }

    fn include_overlay(&self) -> Result<()> {
        let from = self.image.overlay().join(OVERLAY_FILE);
        let text = fs::read_to_string(&from).during(|| format!("reading {}", from.display()))?;
        write(&self.folder.join("config/includes.chroot").join(OVERLAY_FILE), &text)
    }

    fn build(&self) -> Result<()> {
        self.lb(&["build"])
    }

    fn lb(&self, args: &[&str]) -> Result<()> {
        let output =
            contained("lb").args(args).dir(&self.folder).env("HOME", &self.folder).run(&Cancel::default())?;
        if output.status.success() {
            return Ok(());
        }
        let text = output.text();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        Err(output.failure().on(format!("lb {}\n{last}", args[0])))
    }

    fn size(&self) -> Result<u64> {
        let found = fs::read_dir(&self.folder).during(|| format!("reading {}", self.folder.display()))?;
        found
            .flatten()
            .find(|e| e.path().extension().is_some_and(|x| x == "iso"))
            .and_then(|e| e.metadata().ok())
            .map(|m| m.len())
            .ok_or_else(|| Failure::bug("live-build made no ISO"))
    }

    fn packages(&self) -> Result<usize> {
        let path = self.folder.join("chroot/var/lib/dpkg/status");
        let text = fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
        Ok(text.lines().filter(|l| *l == "Status: install ok installed").count())
    }
}
