//! A root file system to run build steps in: its own mounts, processes and (no) network.
//!
//! The layers are stacked by overlayfs in a mount namespace that only the sandboxed
//! process has, and `bwrap` closes the rest. When we are killed, the kernel ends the
//! process and its mounts go with it; nothing is ever mounted where others can see it.

use super::emulation::Emulation;
use super::process::{OverlayMount, Process};
use crate::model::spec::Architecture;
use crate::model::{Failure, Result};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The host name that build steps see: the same everywhere, so that no image learns ours.
const HOST_NAME: &str = "bootwright";

/// What of the host's configuration a [tool](Sandbox::tool) with the network sees.
const NETWORK: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl/certs"];

/// Which of several programs a name means (update-alternatives(1)): `awk`, for one.
const ALTERNATIVES: &str = "/etc/alternatives";

/// Where [`Sandbox::tool`] shows the root.
pub const TOOL_ROOT: &str = "/run/root";

/// A root made of layers.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Read-only layers, lowest first.
    lowers: Vec<PathBuf>,
    /// Where changes go, and overlayfs's own work folder beside it (same file system).
    upper: PathBuf,
    work: PathBuf,
    target: PathBuf,
    binds: Vec<(PathBuf, String, bool)>,
    folders: Vec<String>,
    network: bool,
    env: Vec<(String, String)>,
    emulation: Option<Emulation>,
}

impl Sandbox {
    /// A root of `lowers` (lowest first); changes go to `scratch/upper`. `scratch` is an
    /// existing folder that is on no overlay itself; `upper`, `work` and `root` are made in it.
    ///
    /// # Errors
    /// Class *host* if the folders cannot be made.
    pub fn new(lowers: &[PathBuf], scratch: &Path) -> Result<Self> {
        let make = |name: &str| -> Result<PathBuf> {
            let path = scratch.join(name);
            std::fs::create_dir_all(&path)
                .map_err(|e| Failure::io(format!("making {}", path.display()), &e))?;
            Ok(path)
        };
        let mut lowers = lowers.to_vec();
        if lowers.is_empty() {
            // overlayfs wants at least one lower folder.
            lowers.push(make("empty")?);
        }
        Ok(Self {
            lowers,
            upper: make("upper")?,
            work: make("work")?,
            target: make("root")?,
            binds: Vec::new(),
            folders: Vec::new(),
            network: false,
            env: Vec::new(),
            emulation: None,
        })
    }

    /// Where changes end up: an overlayfs upper directory, with whiteouts as character
    /// devices 0:0 and opaque folders marked by `trusted.overlay.opaque`.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// Says what the programs of the root are made for: those of another architecture than the
    /// host's are emulated.
    ///
    /// # Errors
    /// Class *host* if the emulator or the kernel's part is missing.
    pub fn running(mut self, architecture: Architecture) -> Result<Self> {
        self.emulation = Emulation::of(architecture)?;
        Ok(self)
    }

    /// Whether the programs of the root are emulated.
    pub fn emulates(&self) -> bool {
        self.emulation.is_some()
    }

    /// Shows a file or folder of the host at `at`, read-only.
    #[must_use]
    pub fn bind(mut self, host: impl Into<PathBuf>, at: impl Into<String>) -> Self {
        self.binds.push((host.into(), at.into(), true));
        self
    }

    /// Shows a folder of the host at `at`, writable.
    #[must_use]
    pub fn bind_writable(mut self, host: impl Into<PathBuf>, at: impl Into<String>) -> Self {
        self.binds.push((host.into(), at.into(), false));
        self
    }

    /// Makes an empty folder below `/run` or `/tmp`, which are empty otherwise.
    #[must_use]
    pub fn folder(mut self, at: impl Into<String>) -> Self {
        self.folders.push(at.into());
        self
    }

    /// Lets the processes use the host's network. Never for steps that run package scripts.
    #[must_use]
    pub fn with_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Sets an environment variable of the processes inside.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// A process inside, by its path in the root. One at a time: each mounts the layers anew.
    ///
    /// # Errors
    /// Class *host* if a path has a character that overlayfs cannot take.
    pub fn process(&self, program: &str) -> Result<Process> {
        let outer = self
            .bwrap()?
            .arg("--bind")
            .arg(&self.target)
            .args(["/", "--dev", "/dev", "--proc", "/proc"])
            .args(["--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
        Ok(self.inner(outer, program))
    }

    /// The layers, mounted anew.
    fn bwrap(&self) -> Result<Process> {
        // overlayfs refuses a work folder that a `volatile` mount has used: it cannot know
        // that nothing was lost. We do: the process that used it has ended.
        super::files::remove_tree(&self.work)?;
        std::fs::create_dir(&self.work)
            .map_err(|e| Failure::io(format!("making {}", self.work.display()), &e))?;
        Ok(Process::new("bwrap").overlay(self.mount()?).emulating(self.emulation.clone()))
    }

    /// A program, with namespaces, what is bound, and the environment.
    fn inner(&self, outer: Process, program: &str) -> Process {
        self.closed(outer).args(["--chdir", "/", "--"]).arg(program)
    }

    /// Adds namespaces, what is bound, and the environment.
    fn closed(&self, outer: Process) -> Process {
        let mut process = outer
            .args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", HOST_NAME])
            .args(["--die-with-parent", "--new-session", "--cap-add", "ALL"]);
        if !self.network {
            process = process.arg("--unshare-net");
        }
        for at in &self.folders {
            process = process.arg("--dir").arg(at);
        }
        for (host, at, read_only) in &self.binds {
            process = process.arg(if *read_only { "--ro-bind" } else { "--bind" }).arg(host).arg(at);
        }
        process = process.args(["--setenv", "HOME", "/root"]);
        for (name, value) in &self.env {
            process = process.arg("--setenv").arg(name).arg(value);
        }
        process
    }

    /// A program of the host, with the root at [`TOOL_ROOT`], writable: package managers that
    /// are not in the root themselves. Of the host it sees programs and libraries (`/usr`)
    /// and nothing else: no configuration, no state, no home. What is bound goes to the paths
    /// as the program sees them.
    ///
    /// # Errors
    /// As [`Sandbox::process`].
    pub fn tool(&self, program: &str) -> Result<Process> {
        let outer = self
            .host_programs()?
            .arg("--bind")
            .arg(&self.target)
            .arg(TOOL_ROOT)
            // For package scripts, which the program runs in the root.
            .arg("--dev")
            .arg(format!("{TOOL_ROOT}/dev"))
            .arg("--proc")
            .arg(format!("{TOOL_ROOT}/proc"))
            .args(["--perms", "1777", "--tmpfs", &format!("{TOOL_ROOT}/tmp")])
            .args(["--tmpfs", &format!("{TOOL_ROOT}/run")]);
        Ok(self.inner(outer, program))
    }

    /// A program of the host that works in a folder: the layers are no root but what it works
    /// on, and lie at `at`, writable, where it also starts. Of the host it sees what a
    /// [tool](Sandbox::tool) sees, and which of several programs its names mean.
    ///
    /// # Errors
    /// As [`Sandbox::process`].
    pub fn workshop(&self, program: &str, at: &str) -> Result<Process> {
        let outer = self
            .host_programs()?
            .args(["--ro-bind-try", ALTERNATIVES, ALTERNATIVES, "--bind"])
            .arg(&self.target)
            .arg(at);
        let process = self.closed(outer).args(["--chdir", at, "--"]).arg(program);
        Ok(process)
    }

    /// The host's programs and libraries, and empty folders for the rest.
    fn host_programs(&self) -> Result<Process> {
        let mut outer = self.bwrap()?.args(["--ro-bind", "/usr", "/usr"]);
        for name in ["bin", "sbin", "lib", "lib64"] {
            outer = outer.args(["--symlink".to_owned(), format!("usr/{name}"), format!("/{name}")]);
        }
        let outer = outer
            .args(["--dir", "/etc", "--dir", "/var", "--dir", "/root"])
            .args(["--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp"])
            .args(["--tmpfs", "/run"]);
        // Who uses the network needs names and certificates of this host, and nothing else.
        let network = NETWORK.iter().filter(|_| self.network);
        Ok(network.fold(outer, |outer, path| outer.args(["--ro-bind-try", path, path])))
    }

    fn mount(&self) -> Result<OverlayMount> {
        let mut options = OsString::from("lowerdir=");
        for (i, lower) in self.lowers.iter().rev().enumerate() {
            if i > 0 {
                options.push(":");
            }
            options.push(lower);
        }
        options.push(",upperdir=");
        options.push(&self.upper);
        options.push(",workdir=");
        options.push(&self.work);
        // `volatile`: a step's upper folder is thrown away when we die, so nothing in it
        // needs to be synced. The rest keeps the upper folder a plain difference.
        options.push(",volatile,redirect_dir=off,metacopy=off,index=off,xino=off");
        for path in self.lowers.iter().chain([&self.upper, &self.work]) {
            if path.as_os_str().as_bytes().iter().any(|b| b":,\\".contains(b)) {
                return Err(Failure::host(format!("{}: overlayfs cannot take this path", path.display()))
                    .hint("Choose a cache folder without colon, comma or backslash in its path."));
            }
        }
        // The kernel takes one page of options.
        if options.len() >= 4096 {
            return Err(Failure::host("the paths of the layers are too long for one mount")
                .hint("Choose a cache folder with a shorter path."));
        }
        let c = |text: &std::ffi::OsStr| {
            CString::new(text.as_bytes()).map_err(|_| Failure::host("a path has a NUL byte"))
        };
        Ok(OverlayMount { target: c(self.target.as_os_str())?, options: c(&options)? })
    }
}
