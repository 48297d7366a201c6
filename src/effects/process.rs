//! The one place that starts processes.
//!
//! Every child starts with an empty environment plus a fixed one (`LC_ALL=C.UTF-8`,
//! `TZ=UTC`, a fixed `PATH`), in its own process group, and is killed by the kernel when
//! we die. The parent-death signal belongs to the *thread* that forked, so all forks
//! happen on one thread that lives as long as the process.

use super::cancel::Cancel;
use super::emulation::Emulation;
use crate::model::event::Emitter;
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, FailureClass, Result, deciding};
use crate::tables;
use nix::sys::signal::Signal;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Where tools are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// No tool may say more than this on a captured stream.
const CAPTURE_LIMIT: usize = 256 << 20;

/// How often a wish to stop is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What to do when a tool was killed by somebody else, or says that it is short of memory.
const OUT_OF_MEMORY: &str =
    "Most likely memory ran out: free some, run fewer jobs, or raise the memory limit of this service.";

/// How many of the last lines of output a failure shows.
const TAIL_LINES: usize = 15;

/// A process to be started. Arguments are passed as they are: there is no shell.
#[derive(Debug)]
pub struct Process {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    stdout: Option<File>,
    timeout: Option<Duration>,
    log: Option<(Emitter, String)>,
    inherit: bool,
    overlay: Option<OverlayMount>,
    emulation: Option<Emulation>,
    alone: bool,
    one_stream: bool,
}

/// An overlay file system, mounted in a mount namespace that only the process has.
#[derive(Debug, Clone)]
pub(super) struct OverlayMount {
    pub target: CString,
    pub options: CString,
}

/// What a finished process left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout, unless that went elsewhere.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
    /// The program's name, for messages.
    pub program: String,
}

impl Output {
    /// stdout as text, bytes that are no UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text, bytes that are no UTF-8 replaced.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The last lines of stderr, or of stdout where stderr is empty.
    pub fn tail(&self) -> String {
        let text = if self.stderr.iter().all(u8::is_ascii_whitespace) { self.text() } else { self.errors() };
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// This output as a failure that shows the tool's last lines, and the one that decided
    /// where that came earlier: class *host* if it says that a disk is full, else *bug*.
    pub fn failure(&self) -> Failure {
        let message = format!("{} failed: {}", self.program, self.status);
        let (all, mut details) = (self.all(), self.tail());
        if let Some(line) = deciding::line(&all).filter(|line| !details.contains(line)) {
            details = format!("{line}\n…\n{details}");
        }
        match self.host_trouble() {
            Some(ErrorCode::DiskFull) => Failure::disk_full(message).details(details),
            Some(code) => {
                Failure::new(code, FailureClass::Host, message).details(details).hint(OUT_OF_MEMORY)
            }
            None => Failure::new(ErrorCode::BuildStep, FailureClass::Bug, message).details(details),
        }
    }

    /// Whether the disk or the memory of this host was at an end, as far as can be seen.
    pub fn host_trouble(&self) -> Option<ErrorCode> {
        use std::os::unix::process::ExitStatusExt;
        let all = self.all();
        if deciding::says_disk_full(&all) {
            return Some(ErrorCode::DiskFull);
        }
        // Our own SIGKILL (time is up, stop) never gets here: it is reported where it is sent.
        // Shells and bwrap report a child's death as 128 and the signal.
        let killed = self.status.signal() == Some(Signal::SIGKILL as i32) || self.status.code() == Some(137);
        let said = all.to_ascii_lowercase();
        let words =
            ["cannot allocate memory", "out of memory", "memory exhausted", "virtual memory exhausted"];
        (killed || words.iter().any(|words| said.contains(words))).then_some(ErrorCode::OutOfMemory)
    }

    /// Everything that it said.
    fn all(&self) -> String {
        format!("{}\n{}", self.errors(), self.text())
    }
}

impl Process {
    /// A process of a tool that is looked for in [`PATH`], or of a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: None,
            stdout: None,
            timeout: None,
            log: None,
            inherit: false,
            overlay: None,
            emulation: None,
            alone: false,
            one_stream: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable, over the fixed ones.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Gives it these bytes on stdin; without them stdin is empty.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Writes its stdout to a file instead of capturing it.
    #[must_use]
    pub fn stdout_to(mut self, file: File) -> Self {
        self.stdout = Some(file);
        self
    }

    /// Kills it after so long.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Passes on every line that it says, as it says it.
    #[must_use]
    pub fn log_to(mut self, events: &Emitter, source: impl Into<String>) -> Self {
        self.log = Some((events.clone(), source.into()));
        self
    }

    /// Lets it use our own terminal (`bootwright boot`): nothing is captured.
    #[must_use]
    pub fn interactive(mut self) -> Self {
        self.inherit = true;
        self
    }

    /// Lets what it mounts and what it starts end with it, however it ends: it has namespaces of
    /// its own for both. Wants the rights of root; does nothing for others, whose tools have to
    /// make such namespaces themselves before they can mount.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = nix::unistd::geteuid().is_root();
        self
    }

    /// Lets what it says on stderr come on stdout, in the order in which it says it.
    #[must_use]
    pub fn one_stream(mut self) -> Self {
        self.one_stream = true;
        self
    }

    /// Gives it a mount namespace of its own with an overlay mounted there.
    pub(super) fn overlay(mut self, mount: OverlayMount) -> Self {
        self.overlay = Some(mount);
        self
    }

    /// Lets it start programs of another architecture.
    pub(super) fn emulating(mut self, emulation: Option<Emulation>) -> Self {
        self.emulation = emulation;
        self
    }

    fn name(&self) -> String {
        Path::new(&self.program).file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    fn command(&mut self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is the door")]
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("HOME", "/nonexistent")
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let pipe = |inherit: bool| if inherit { Stdio::inherit() } else { Stdio::piped() };
        command.stdin(match &self.stdin {
            Some(_) => Stdio::piped(),
            None if self.inherit => Stdio::inherit(),
            None => Stdio::null(),
        });
        command.stdout(match self.stdout.take() {
            Some(file) => Stdio::from(file),
            None => pipe(self.inherit),
        });
        command.stderr(pipe(self.inherit));
        if !self.inherit {
            command.process_group(0);
        }
        let (overlay, emulation, alone) = (self.overlay.clone(), self.emulation.clone(), self.alone);
        let (parent, one_stream) = (nix::unistd::getpid(), self.one_stream);
        let prepare = move || -> std::io::Result<()> {
            if one_stream {
                // SAFETY: stdout is open in the child: it is a pipe or a file that we gave it.
                nix::unistd::dup2_stderr(unsafe { std::os::fd::BorrowedFd::borrow_raw(1) })?;
            }
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                // The parent died before the signal was set.
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if let Some(overlay) = &overlay {
                enter_overlay(overlay)?;
                if let Some(emulation) = &emulation {
                    // SAFETY: as for `prepare` itself.
                    unsafe { emulation.enter() }?;
                }
                // SAFETY: as for `prepare` itself.
                unsafe { super::process_tree::enter() }?;
            }
            if alone {
                private_mounts()?;
                // SAFETY: as for `prepare` itself.
                unsafe { super::process_tree::enter() }?;
                // Who asks for itself by its number finds itself.
                nix::mount::mount(
                    Some(c"proc"),
                    c"/proc",
                    Some(c"proc"),
                    nix::mount::MsFlags::empty(),
                    None::<&std::ffi::CStr>,
                )?;
            }
            Ok(())
        };
        // SAFETY: `prepare` runs between fork and exec and makes system calls only; all
        // its strings were allocated before the fork.
        unsafe { command.pre_exec(prepare) };
        command
    }

    fn start(mut self) -> Result<(Child, Self)> {
        let command = self.command();
        let child = spawn_on_long_lived_thread(command).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                let failure = Failure::host(format!("{} is not installed", self.name()));
                match tables::tool_package(&self.name()) {
                    Some(package) => failure.hint(format!(
                        "It is in the Debian package {package}; `bootwright doctor --install` installs what is missing."
                    )),
                    None => failure.hint("Run `bootwright doctor --install`."),
                }
            } else {
                Failure::io(format!("starting {}", self.name()), &e)
            }
        })?;
        Ok((child, self))
    }

    /// Runs it to its end; a non-zero exit is not an error here.
    ///
    /// # Errors
    /// Class *host* if it cannot be started or runs past its time, *cancelled* on request.
    pub fn run(self, cancel: &Cancel) -> Result<Output> {
        cancel.check()?;
        let program = self.name();
        let (mut child, this) = self.start()?;
        let (send, events) = mpsc::channel();
        let mut open = 0;
        for (stream, is_stdout) in [
            (child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>), true),
            (child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>), false),
        ] {
            let Some(stream) = stream else { continue };
            open += 1;
            let (send, log) = (send.clone(), this.log.clone());
            std::thread::spawn(move || {
                let captured = drain(stream, log);
                let _ = send.send((is_stdout, captured));
            });
        }
        drop(send);
        if let (Some(bytes), Some(mut pipe)) = (this.stdin, child.stdin.take()) {
            std::thread::spawn(move || {
                // A tool that stops reading early says so by its exit.
                let _ = pipe.write_all(&bytes);
            });
        }
        let deadline = this.timeout.map(|limit| Instant::now() + limit);
        let mut running = Running { child, program: program.clone() };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while open > 0 {
            match events.recv_timeout(POLL) {
                Ok((true, bytes)) => (stdout, open) = (bytes, open - 1),
                Ok((false, bytes)) => (stderr, open) = (bytes, open - 1),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            running.give_up(cancel, deadline)?;
        }
        let mut pause = Duration::from_micros(50);
        let status = loop {
            if let Some(status) = running.try_wait()? {
                break status;
            }
            running.give_up(cancel, deadline)?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        };
        Ok(Output { status, stdout, stderr, program })
    }

    /// Runs it to its end; a non-zero exit is a failure that shows its last lines.
    ///
    /// # Errors
    /// As [`Process::run`], and [`Output::failure`] on a non-zero exit.
    pub fn check(self, cancel: &Cancel) -> Result<Output> {
        let output = self.run(cancel)?;
        if output.status.success() { Ok(output) } else { Err(output.failure()) }
    }

    /// Starts it and returns at once. Its stdout and stderr can be taken from
    /// [`Running::stdout`] and [`Running::stderr`].
    ///
    /// # Errors
    /// Class *host* if it cannot be started.
    pub fn spawn(self) -> Result<Running> {
        let program = self.name();
        let (mut child, this) = self.start()?;
        if let (Some(bytes), Some(mut pipe)) = (this.stdin, child.stdin.take()) {
            std::thread::spawn(move || {
                let _ = pipe.write_all(&bytes);
            });
        }
        Ok(Running { child, program })
    }
}

/// A process that runs. Killed with its whole group when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    program: String,
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout, once.
    pub fn stdout(&mut self) -> Option<impl Read + Send + use<>> {
        self.child.stdout.take()
    }

    /// Its stderr, once.
    pub fn stderr(&mut self) -> Option<impl Read + Send + use<>> {
        self.child.stderr.take()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system refuses to say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().during(|| format!("waiting for {}", self.program))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the system refuses to say.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().during(|| format!("waiting for {}", self.program))
    }

    /// Kills it and everything in its group.
    pub fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Ok(pid) = i32::try_from(self.child.id()) {
                let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn give_up(&mut self, cancel: &Cancel, deadline: Option<Instant>) -> Result<()> {
        if cancel.is_requested() {
            self.kill();
            return Err(Failure::cancelled());
        }
        if deadline.is_some_and(|d| Instant::now() >= d) {
            self.kill();
            return Err(Failure::new(
                ErrorCode::Timeout,
                FailureClass::Host,
                format!("{} did not end in time", self.program),
            ));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The path of a tool, if it is installed.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn drain(stream: impl Read, log: Option<(Emitter, String)>) -> Vec<u8> {
    let mut captured = Vec::new();
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    match log {
        None => {
            let _ = reader.by_ref().take(CAPTURE_LIMIT as u64).read_to_end(&mut captured);
        }
        Some((events, source)) => {
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                events.log(&source, String::from_utf8_lossy(&line).trim_end());
                if captured.len() + line.len() <= CAPTURE_LIMIT {
                    captured.extend_from_slice(&line);
                }
                line.clear();
            }
        }
    }
    // Beyond the limit the tool is still read, so that it does not block.
    let _ = std::io::copy(&mut reader, &mut std::io::sink());
    captured
}

type Order = (Command, mpsc::SyncSender<std::io::Result<Child>>);

fn spawn_on_long_lived_thread(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (send, orders) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, reply) in orders {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        send
    });
    let (reply, answer) = mpsc::sync_channel(1);
    spawner.send((command, reply)).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
    answer.recv().map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?
}

/// Nothing that is mounted from now on is seen outside.
fn private_mounts() -> std::io::Result<()> {
    use nix::mount::{MsFlags, mount};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, c"/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    Ok(())
}

fn enter_overlay(overlay: &OverlayMount) -> std::io::Result<()> {
    use nix::mount::{MsFlags, mount};
    private_mounts()?;
    mount(
        Some(c"bootwright"),
        overlay.target.as_c_str(),
        Some(c"overlay"),
        MsFlags::empty(),
        Some(overlay.options.as_c_str()),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let failure = Process::new("/no/such/folder/mksquashfs").check(&Cancel::default()).unwrap_err();
        assert_eq!(
            (failure.class, failure.message.as_str()),
            (FailureClass::Host, "mksquashfs is not installed")
        );
        let hint = failure.hint.unwrap();
        assert!(hint.contains("squashfs-tools") && hint.contains("doctor --install"), "{hint}");
    }

    #[test]
    fn a_full_disk_is_seen_in_what_a_tool_says() {
        let say = |text: &str| {
            let script = format!("echo '{text}' >&2; for i in $(seq 99); do echo bye >&2; done; exit 1");
            Process::new("sh").args(["-c", &script]).check(&Cancel::default()).unwrap_err()
        };
        let full = say("x: write error: No space left on device");
        assert_eq!((full.class, full.code), (FailureClass::Host, ErrorCode::DiskFull));
        assert_eq!(full.deciding_line(), Some("x: write error: No space left on device"));
        let other = say("x: bad day");
        assert_eq!((other.class, other.code), (FailureClass::Bug, ErrorCode::BuildStep));
    }

    #[test]
    fn captures_both_streams_and_the_exit() {
        let output = Process::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .run(&Cancel::default())
            .unwrap();
        assert_eq!(output.text(), "out\n");
        assert_eq!(output.errors(), "err\n");
        assert_eq!(output.status.code(), Some(3));
        assert!(output.failure().details.unwrap().contains("err"));
    }

    #[test]
    fn one_stream_keeps_the_order() {
        let script = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
        let output = Process::new("sh").args(["-c", script]).one_stream().run(&Cancel::default()).unwrap();
        assert_eq!((output.text().as_str(), output.errors().as_str()), ("1\n2\n3\n4\n", ""));
    }

    #[test]
    fn environment_is_fixed() {
        let output = Process::new("env").env("X", "1").check(&Cancel::default()).unwrap();
        let text = output.text();
        let mut names: Vec<_> = text.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TZ", "X"]);
    }

    #[test]
    fn a_missing_tool_says_what_to_do() {
        let failure = Process::new("no-such-tool").check(&Cancel::default()).unwrap_err();
        assert_eq!(failure.class, FailureClass::Host);
        assert!(failure.hint.unwrap().contains("doctor"));
    }

    #[test]
    fn time_and_cancel_end_it() {
        let slow = || Process::new("sleep").arg("60");
        let failure = slow().timeout(Duration::from_millis(200)).run(&Cancel::default()).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Timeout);
        let cancel = Cancel::default();
        let other = cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            other.request();
        });
        assert_eq!(slow().run(&cancel).unwrap_err().class, FailureClass::Cancelled);
    }
}
