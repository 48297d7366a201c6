//! The tools that are compared. Each leaves the image on the card, and knows that it is there.

use crate::card::Card;
use crate::{child, run};
use bootwright::effects::{Cancel, Process};
use bootwright::model::{Failure, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A way to put an image on a card.
#[derive(Clone)]
pub enum Tool {
    Dd,
    Bmaptool,
    /// etcher-sdk, installed in this folder.
    Etcher(PathBuf),
    Bootwright,
}

impl Tool {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dd => "dd, then sha256sum",
            Self::Bmaptool => "bmaptool, then sha256sum",
            Self::Etcher(_) => "etcher-sdk",
            Self::Bootwright => "bootwright",
        }
    }

    /// Writes and proves; gives the seconds that it took.
    pub fn time(&self, image: &Path, card: &Card) -> Result<f64> {
        let path = image.to_string_lossy();
        let begun = Instant::now();
        match self {
            Self::Dd => {
                let (from, to) = (format!("if={path}"), format!("of={}", card.path));
                run("dd", &[&from, &to, "bs=4M", "conv=fsync", "status=none"])?;
                prove(card)?;
            }
            Self::Bmaptool => {
                run("bmaptool", &["--quiet", "copy", "--bmap", &format!("{path}.map"), &path, &card.path])?;
                prove(card)?;
            }
            Self::Etcher(folder) => etcher(folder, &path, &card.path)?,
            Self::Bootwright => flash(image, &[card]).map(drop)?,
        }
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// dd and bmaptool prove nothing themselves: the device is read after them, with its cache dropped.
fn prove(card: &Card) -> Result<()> {
    run("blockdev", &["--flushbufs", &card.path])?;
    run("sha256sum", &[&card.path])
}

/// Bootwright, with what it cost.
pub fn flash(image: &Path, cards: &[&Card]) -> Result<child::Cost> {
    let image = image.to_string_lossy();
    let mut args = vec!["--quiet", "flash", &image, "--yes", "--no-bmap"];
    cards.iter().for_each(|card| args.extend(["--device", card.path.as_str()]));
    child::measured(
        Path::new(env!("CARGO_BIN_EXE_bootwright")),
        &args,
        Path::new(env!("CARGO_TARGET_TMPDIR")),
    )
}

/// etcher-sdk, installed from the registry that npm is set up for. Nothing where that cannot be done.
pub fn install_etcher() -> Option<Tool> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("etcher");
    match install(&folder) {
        Ok(()) => Some(Tool::Etcher(folder)),
        Err(failure) => {
            println!("SKIPPED: etcher-sdk was NOT measured: {failure}");
            println!("{}", failure.details.unwrap_or_default());
            None
        }
    }
}

fn install(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Failure::io(format!("writing below {}", folder.display()), &e);
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join("package.json"), include_str!("etcher/package.json")).map_err(failed)?;
    std::fs::write(folder.join("write.js"), include_str!("etcher/write.js")).map_err(failed)?;
    if folder.join("installed").exists() {
        return Ok(());
    }
    println!("installing etcher-sdk into {}", folder.display());
    npm(folder, &["install", "--ignore-scripts"])?;
    // Of the native modules only these two are asked to write and to verify.
    npm(folder, &["rebuild", "@ronomon/direct-io", "xxhash-addon"])?;
    std::fs::write(folder.join("installed"), "").map_err(failed)
}

#[expect(
    clippy::disallowed_methods,
    reason = "npm finds its registry by the home folder of whoever measures"
)]
fn npm(folder: &Path, args: &[&str]) -> Result<()> {
    let npm =
        Process::new("npm").args(args).args(["--no-audit", "--no-fund", "--loglevel=error"]).dir(folder);
    npm.env("HOME", std::env::var_os("HOME").unwrap_or_default()).check(&Cancel::default()).map(drop)
}

fn etcher(folder: &Path, image: &str, device: &str) -> Result<()> {
    let node = Process::new("node").arg("write.js").args([image, device]).dir(folder);
    node.check(&Cancel::default()).map(drop)
}
