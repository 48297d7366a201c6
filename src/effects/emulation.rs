//! Programs of another architecture: the kernel hands them to qemu-user.
//!
//! The kernel learns who runs what from `binfmt_misc` (kernel documentation,
//! `admin-guide/binfmt-misc`). Since Linux 6.7 every user namespace has one of its own, so what
//! is registered here counts for one sandbox only, and goes with its last process, however
//! that ends. Nothing of the host's own registrations is read or changed.
//!
//! In the namespace every account is who it is outside. What root loses there are rights over
//! what belongs to the host: devices cannot be made, modules not be loaded.

use super::process::find_tool;
use crate::model::spec::Architecture;
use crate::model::{Failure, Result};
use crate::tables;
use nix::fcntl::{OFlag, open, openat};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getppid, pipe, read, write};
use std::ffi::CStr;
use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Where the kernel is told; empty where nobody has mounted it, missing where it cannot be.
const REGISTRY: &CStr = c"/proc/sys/fs/binfmt_misc";
/// Every account, as itself.
const ACCOUNTS: &[u8] = b"0 0 4294967295\n";

/// The first bytes of a program (ELF specification, "ELF Header"): 64 bits, little-endian, an
/// executable or a shared object, for this machine. Which system it was made for is not looked at.
const MAGIC: [u8; 18] = *b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00";
const MASK: [u8; 20] = *b"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// Who runs programs of another architecture than the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emulation {
    /// What the kernel is told.
    line: Vec<u8>,
}

impl Emulation {
    /// What programs for `architecture` need on this host; nothing if it runs them itself.
    ///
    /// # Errors
    /// Class *host* if the emulator or the kernel's part is missing.
    pub(super) fn of(architecture: Architecture) -> Result<Option<Self>> {
        if architecture.as_str() == std::env::consts::ARCH {
            return Ok(None);
        }
        let name = format!("qemu-{}-static", architecture.as_str());
        let emulator = find_tool(&name).ok_or_else(|| {
            let package = tables::tool_package(&name).unwrap_or(&name);
            Failure::host(format!("{name} is not installed, which runs programs for {}", architecture.as_str()))
                .hint(format!("It is in the Debian package {package}; `bootwright doctor --install` installs what is missing."))
        })?;
        if !Path::new(&*REGISTRY.to_string_lossy()).is_dir() {
            return Err(Failure::host(
                "this kernel cannot hand programs of another architecture to an emulator",
            )
            .hint("It needs binfmt_misc: `modprobe binfmt_misc`, or a kernel that has it."));
        }
        Ok(Some(Self { line: line(architecture, &emulator) }))
    }

    /// Goes on in a user namespace where the emulator is registered.
    ///
    /// # Safety
    /// Only between fork and exec, where there is one thread: makes system calls only.
    ///
    /// # Errors
    /// If the system refuses: a kernel before 6.7 has no such namespaces.
    pub(super) unsafe fn enter(&self) -> io::Result<()> {
        let parent = getppid();
        let myself =
            open(c"/proc/self", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let (waiting, ready) = pipe()?;
        // Who is who in a namespace is written by somebody outside of it (user_namespaces(7)).
        // SAFETY: see above; the child only makes system calls and ends.
        let child = match unsafe { fork() }? {
            ForkResult::Child => {
                drop(ready);
                let code = i32::from(map_accounts(&waiting, &myself).is_err());
                // SAFETY: ends this process and runs nothing of the one that it was forked from.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => child,
        };
        drop(waiting);
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        write(&ready, b".")?;
        drop(ready);
        if !matches!(waitpid(child, None)?, WaitStatus::Exited(_, 0)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // A change of rights may have taken the signal back (prctl(2), PR_SET_PDEATHSIG).
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        mount(Some(c"bootwright"), REGISTRY, Some(c"binfmt_misc"), MsFlags::empty(), None::<&CStr>)?;
        let registry = open(REGISTRY, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let register = openat(&registry, c"register", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        write(&register, &self.line)?;
        Ok(())
    }
}

/// Waits until the namespace is there, then says who is who in it.
fn map_accounts(waiting: &OwnedFd, process: &OwnedFd) -> nix::Result<()> {
    if read(waiting, &mut [0])? != 1 {
        return Err(nix::errno::Errno::EPIPE);
    }
    for map in [c"uid_map", c"gid_map"] {
        let map = openat(process, map, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        write(&map, ACCOUNTS)?;
    }
    Ok(())
}

/// `:name:M:offset:magic:mask:interpreter:flags`. F: the emulator is opened now, so that it need
/// not be in the root; P: programs see the name that they were started by.
fn line(architecture: Architecture, emulator: &Path) -> Vec<u8> {
    // The number of the machine (ELF specification, e_machine).
    let machine: u8 = match architecture {
        Architecture::X86_64 => 62,
        Architecture::Aarch64 => 183,
    };
    let bytes = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\x{byte:02x}");
            text
        })
    };
    let magic = [&MAGIC[..], &[machine, 0]].concat();
    format!(":bootwright:M:0:{}:{}:{}:PF", bytes(&magic), bytes(&MASK), emulator.display()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_runs_its_own_programs_itself() {
        let own = [Architecture::X86_64, Architecture::Aarch64]
            .into_iter()
            .find(|a| a.as_str() == std::env::consts::ARCH);
        if let Some(own) = own {
            assert_eq!(Emulation::of(own).unwrap(), None);
        }
    }

    #[test]
    fn what_the_kernel_is_told() {
        let text = line(Architecture::Aarch64, Path::new("/usr/bin/qemu-aarch64-static"));
        let text = String::from_utf8(text).unwrap();
        let fields: Vec<&str> = text.split(':').collect();
        assert_eq!((fields[1], fields[2], fields[7]), ("bootwright", "M", "PF"), "{text}");
        assert!(fields[4].ends_with("\\x02\\x00\\xb7\\x00"), "{text}");
        assert_eq!(fields[4].len(), fields[5].len());
        assert_eq!(fields[6], "/usr/bin/qemu-aarch64-static");
    }
}
