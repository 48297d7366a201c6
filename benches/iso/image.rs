//! The standard live image: one description, from which every tool gets its input.

use crate::host::mirrors;
use bootwright::catalog::{self, Location};
use bootwright::model::catalog::Catalog;
use bootwright::model::failure::IoContext;
use bootwright::model::settings::Mirror;
use bootwright::model::{Failure, Result};
use bootwright::resolve;
use std::fs;
use std::path::{Path, PathBuf};

/// The image's name, in `standard.yaml`.
pub const NAME: &str = "standard";
/// Its suite.
pub const SUITE: &str = "bookworm";
/// Its kernel command line, for the tools that are told one.
pub const COMMAND_LINE: &str = "boot=live components console=tty0 console=ttyS0,115200";
/// The overlay file whose one line is changed.
pub const OVERLAY_FILE: &str = "etc/bench.conf";
/// The password "live", as crypt(5).
const HASH: &str =
    "$6$benchsalt$kmFVzKByJMtcYTwqF1pMwZm.FVKjP3NswpEGP27emkTDWk94qNQ5FSi9N7SbemdTpO7QrOfQLvAOfAKrWl/rc0";

/// What the tools build.
pub struct Image {
    /// The catalog folder.
    pub catalog: PathBuf,
    /// Debian's own names of the packages, as Bootwright asks for them; apt adds what they
    /// depend on. The kernel is among them.
    pub packages: Vec<String>,
    /// Where packages come from: what this host itself uses.
    pub mirrors: Vec<Mirror>,
}

impl Image {
    /// Writes the catalog into `folder` and reads what it asks for.
    pub fn prepare(folder: &Path) -> Result<Self> {
        let mirrors = mirrors()?;
        if mirrors.is_empty() {
            return Err(Failure::host("no Debian mirror in this host's apt configuration")
                .hint("Run the comparison on Debian."));
        }
        let image = Self { catalog: folder.to_owned(), packages: Vec::new(), mirrors };
        write(&folder.join("bootwright.yaml"), &catalog::scaffold::settings_text(&image.mirrors, None))?;
        write(
            &folder.join(format!("specs/{NAME}.yaml")),
            &include_str!("standard.yaml").replace("@HASH@", HASH),
        )?;
        image.set_line(0)?;
        let packages = image.asked()?;
        Ok(Self { packages, ..image })
    }

    /// Reads the catalog as it is now.
    pub fn load(&self) -> Result<Catalog> {
        let files = catalog::read(&Location::WorkTree(self.catalog.clone()), Path::new(""))?;
        catalog::load(&files).map_err(|found| catalog::diagnostic::failure(&found))
    }

    /// Changes the line of the overlay file.
    pub fn set_line(&self, n: u32) -> Result<()> {
        write(&self.overlay().join(OVERLAY_FILE), &format!("line = {n}\n"))
    }

    /// The folder with the overlay files.
    pub fn overlay(&self) -> PathBuf {
        self.catalog.join("specs/overlays").join(NAME)
    }

    /// Writes the script that configures a root by hand.
    pub fn write_customize(&self, to: &Path) -> Result<()> {
        write(to, &include_str!("customize.sh").replace("@HASH@", HASH))?;
        fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .during(|| format!("making {} executable", to.display()))
    }

    /// The mirrors as lines of sources.list(5).
    pub fn sources(&self) -> String {
        let mut text = String::new();
        for mirror in &self.mirrors {
            for suite in &mirror.suites {
                text += &format!(
                    "deb [signed-by={}] {} {} {}\n",
                    mirror.keyring,
                    mirror.urls[0],
                    suite.replace("{suite}", SUITE),
                    mirror.components.join(" ")
                );
            }
        }
        text
    }

    /// The address of the mirror that serves `{suite}` followed by `suffix`.
    pub fn mirror_of(&self, suffix: &str) -> Option<String> {
        let wanted = format!("{{suite}}{suffix}");
        let mirror = self.mirrors.iter().find(|m| m.suites.contains(&wanted))?;
        Some(format!("{}/", mirror.urls.first()?.trim_end_matches('/')))
    }

    fn asked(&self) -> Result<Vec<String>> {
        let catalog = self.load()?;
        let document = catalog.images.values().next().ok_or_else(|| Failure::bug("no image"))?;
        let request = resolve::request(&document.spec, &catalog.settings.packages)
            .map_err(|problems| problems[0].failure().on(&document.place))?;
        let layers = request.layers.iter().filter(|layer| layer.name != resolve::ISO_BOOT_FILES);
        Ok(layers.flat_map(|layer| &layer.packages).map(ToString::to_string).collect())
    }
}

/// Writes a file, making its folder.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let folder = bootwright::effects::files::parent(path);
    fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
    fs::write(path, text).during(|| format!("writing {}", path.display()))
}
