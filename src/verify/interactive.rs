//! `bootwright boot`: an image for a person to look at. Nothing is written to it: a disk is
//! unpacked into a copy, which is gone with the session.

use super::machine::{Accelerator, Config, Medium, Tools, hardware};
use super::{disk, host};
use crate::effects::files::WorkFolder;
use crate::effects::{Cancel, Process};
use crate::model::failure::IoContext;
use crate::model::spec::{Architecture, BootMode};
use crate::model::{Failure, Result};
use std::path::Path;
use std::time::Duration;

/// Where the machine shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Its serial line on our terminal; Ctrl-A X ends it.
    Terminal,
    /// A window of the desktop.
    Window {
        /// The variables that lead there (`DISPLAY`, `WAYLAND_DISPLAY`, `XAUTHORITY`,
        /// `XDG_RUNTIME_DIR`), which only the caller may read.
        environment: Vec<(String, String)>,
    },
    /// VNC on loopback, at port 5900 + this number.
    Vnc(u16),
}

/// What to boot, and how.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// An ISO, or a disk image as it is published (`.img.zst`, `.img.gz`, `.img`).
    pub image: &'a Path,
    /// Firmware and kind of medium.
    pub mode: BootMode,
    /// Whether a disk is on the bus of virtual machines, as it is when OpenWrt's firmware is verified.
    pub virtio: bool,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Where it shows itself.
    pub screen: Screen,
    /// How instructions are carried out.
    pub accelerator: Accelerator,
    /// QEMU and firmware.
    pub tools: &'a Tools,
    /// Where the firmware's variables live meanwhile.
    pub scratch: &'a Path,
}

/// What the machines are that start from an ISO: by the name of the program that their firmware
/// looks for (UEFI specification, 3.5.1.1). What has none of them, as a disk, starts as a PC does.
///
/// # Errors
/// Class *host* if xorriso is missing, *cancelled* on request.
pub fn architecture_of(iso: &Path, cancel: &Cancel) -> Result<Architecture> {
    let output = Process::new("xorriso")
        .args(["-no_rc", "-abort_on", "NEVER", "-indev"])
        .arg(iso)
        .args(["-find", "/EFI/BOOT", "-name", "BOOTAA64.EFI"])
        .timeout(Duration::from_mins(1))
        .run(cancel)?;
    let arm = output.text().contains("BOOTAA64.EFI");
    Ok(if arm { Architecture::Aarch64 } else { Architecture::X86_64 })
}

/// Runs a machine on our terminal until it powers off or the person ends it. The guest has
/// a user-mode network that leads out and lets nobody in.
///
/// # Errors
/// Class *host* if QEMU or its firmware is missing or fails; *cancelled* on request.
pub fn interactive(session: &Session, cancel: &Cancel) -> Result<()> {
    let folder = WorkFolder::new(session.scratch, "boot")?;
    let image = session.image.canonicalize().during(|| format!("looking at {}", session.image.display()))?;
    let copy = folder.path().join("disk.img");
    let medium = if is_disk(&image) {
        disk::unpack(&image, &copy, cancel)?;
        disk::add_room(&copy)?;
        if session.virtio { Medium::Virtio(&copy) } else { Medium::Disk(&copy) }
    } else {
        Medium::Disc(&image)
    };
    let vars = match session.tools.firmware(session.mode) {
        None => None,
        Some((_, vars)) => {
            let copy = folder.path().join("vars.fd");
            std::fs::copy(vars, &copy)
                .during(|| format!("copying the firmware's variables {}", vars.display()))
                .map_err(|f| f.hint(session.tools.firmware_hint()))?;
            Some(copy)
        }
    };
    let config = Config {
        tools: session.tools,
        medium,
        mode: session.mode,
        memory_mib: session.memory_mib,
        accelerator: session.accelerator,
        processors: session.accelerator.processors(host::cores(), 1),
        sandbox: false,
    };
    let mut process = Process::new(&session.tools.qemu)
        .args(hardware(&config, vars.as_deref()))
        .args(["-nic", "user,model=virtio-net-pci"])
        .args(screen_arguments(&session.screen))
        .interactive();
    if let Screen::Window { environment } = &session.screen {
        for (name, value) in environment {
            process = process.env(name, value);
        }
    }
    let output = process.run(cancel)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::host(format!("QEMU failed: {}", output.status))
        .on(session.image.display())
        .hint("Read what QEMU said above; `bootwright doctor` says what is missing."))
}

/// Whether a file is a disk image, by its name.
pub(super) fn is_disk(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "zst" || ending == "gz" || ending == "img")
}

fn screen_arguments(screen: &Screen) -> Vec<String> {
    let args: Vec<&str> = match screen {
        Screen::Terminal => vec!["-display", "none", "-serial", "mon:stdio"],
        Screen::Window { .. } => vec!["-display", "gtk", "-device", "qemu-xhci", "-device", "usb-tablet"],
        Screen::Vnc(number) => {
            return vec!["-display".to_owned(), format!("vnc=127.0.0.1:{number}")];
        }
    };
    args.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vnc_never_leaves_loopback() {
        assert_eq!(screen_arguments(&Screen::Vnc(3)), ["-display", "vnc=127.0.0.1:3"]);
        assert!(screen_arguments(&Screen::Terminal).contains(&"mon:stdio".to_owned()));
    }
}
