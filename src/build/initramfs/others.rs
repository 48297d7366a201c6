//! The initramfs of distributions without initramfs-tools: dracut and mkinitcpio, each run once
//! in the root for a system that may start on any machine.

use super::TIME_LIMIT;
use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::{Cancel, Process, Sandbox};
use crate::model::failure::IoContext;
use crate::model::spec::Architecture;
use crate::model::{Emitter, Failure, Result};
use crate::tables::Generator;
use std::path::{Path, PathBuf};

/// Where the generator leaves its archive.
const INITRD: &str = "/run/out/initrd";
/// Where mkinitcpio sees our settings.
const CONFIG: &str = "/run/mkinitcpio.conf";
/// What mkinitcpio puts together (man mkinitcpio, "HOOKS"): the order in which they run. Their
/// names are the packages' own: archiso finds the medium and mounts its squashfs.
const MKINITCPIO: &str = "\
MODULES=()
BINARIES=()
FILES=()
HOOKS=(base udev modconf archiso block filesystems keyboard)
COMPRESSION=\"zstd\"
";

/// Whose initramfs is made.
pub(super) struct Root<'a> {
    /// The layers that shape it.
    pub stack: &'a Stack,
    /// What their programs are made for.
    pub architecture: Architecture,
    /// An existing folder for intermediate files.
    pub scratch: &'a Path,
}

/// Runs the root's generator, which leaves `out/initrd`.
///
/// # Errors
/// Class *spec* if the root has none, else as it fails.
pub(super) fn run(
    root: &Root<'_>,
    generator: Generator,
    version: &str,
    out: &Path,
    (events, cancel): (&Emitter, &Cancel),
) -> Result<()> {
    let program = match generator {
        Generator::Dracut => "usr/bin/dracut",
        Generator::Mkinitcpio => "usr/bin/mkinitcpio",
        Generator::Mkinitramfs => "usr/sbin/mkinitramfs",
    };
    if union::find(root.stack, program)?.is_none() {
        return Err(Failure::spec(format!("the image has no /{program}, which makes its initramfs"))
            .hint("Lock the image again: the packages of its live system bring it."));
    }
    let lowers: Vec<PathBuf> = root.stack.layers.iter().map(|l| l.folder.clone()).collect();
    let mut sandbox = Sandbox::new(&lowers, root.scratch)?
        .running(root.architecture)?
        .bind_writable(out, "/run/out")
        .env("SOURCE_DATE_EPOCH", root.stack.epoch.to_string());
    if generator == Generator::Mkinitcpio {
        let path = root.scratch.join("mkinitcpio.conf");
        std::fs::write(&path, MKINITCPIO).during(|| format!("writing {}", path.display()))?;
        sandbox = sandbox.bind(path, CONFIG);
    }
    let process = sandbox.process(&format!("/{program}"))?;
    let zstd = union::find(root.stack, "usr/bin/zstd")?.is_some();
    arguments(process, generator, version, zstd)
        .log_to(events, program.rsplit('/').next().unwrap_or(program))
        .timeout(TIME_LIMIT)
        .check(cancel)?;
    let made = out.join("initrd");
    match made.symlink_metadata() {
        Ok(meta) if meta.is_file() && meta.len() > 0 => Ok(()),
        _ => Err(Failure::bug(format!("{program} left no initramfs"))),
    }
}

fn arguments(process: Process, generator: Generator, version: &str, zstd: bool) -> Process {
    match generator {
        // dracut(8). The host that builds is not the one that starts it; and the same input
        // shall give the same bytes.
        Generator::Dracut => process
            .args(["--force", "--no-hostonly", "--no-hostonly-cmdline", "--reproducible"])
            .args(["--add", "dmsquash-live", if zstd { "--zstd" } else { "--gzip" }])
            .args(["--kver", version, INITRD]),
        // mkinitcpio(8).
        Generator::Mkinitcpio => process.args(["-c", CONFIG, "-k", version, "-g", INITRD]),
        Generator::Mkinitramfs => process.args(["-c", "zstd", "-l", "9", "-o", INITRD, version]),
    }
}
