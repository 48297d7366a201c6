//! One QEMU machine: its arguments, its sockets, its end.
//!
//! It starts halted; everything that will listen is connected before the first
//! instruction runs, so nothing that the guest says can be missed. The image is attached
//! read-only, there is no network, and QEMU itself runs under its seccomp filter.

use super::judge::{is_secure, is_uefi};
use super::qmp::{self, Message, Requests};
use crate::effects::{Cancel, Process, Running};
use crate::model::failure::IoContext;
use crate::model::probe::PORT;
use crate::model::spec::{Architecture, BootMode};
use crate::model::{Failure, Result};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// How long QEMU may take to open its sockets.
const START_LIMIT: Duration = Duration::from_secs(30);
/// QEMU's own words that are kept, in bytes.
const WORDS_KEPT: u64 = 16 << 10;

/// Processors of a machine, at most.
const MOST_PROCESSORS: usize = 2;

/// The processor that TCG plays: x86-64-v2 with random numbers. Emulating what newer ones
/// have (AVX2, five levels of page tables) costs a fifth of a boot, and a guest that sees
/// virtual machine extensions loads its own KVM.
const EMULATED_X86: &str = "qemu64,-svm,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf_lm,+rdrand";
/// The same of ARM: ARMv8.0. Newer ones sign pointers, which takes half of an emulated boot.
const EMULATED_ARM: &str = "cortex-a72";

/// How the guest's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the processor, through the kernel's virtual machines.
    Kvm,
    /// Translated by QEMU.
    Tcg,
}

impl Accelerator {
    /// QEMU's arguments for a machine with so many processors.
    pub fn arguments(self, architecture: Architecture, processors: usize) -> [String; 6] {
        let emulated = match architecture {
            Architecture::X86_64 => EMULATED_X86,
            Architecture::Aarch64 => EMULATED_ARM,
        };
        // A small translation cache: live systems fork thousands of times while they start,
        // and QEMU 7.2 takes minutes to clear a large one after each.
        let (accelerator, cpu) = match self {
            Self::Kvm => ("kvm", "host"),
            // What orders memory between processors is emulated too: one does without.
            Self::Tcg if processors == 1 => ("tcg,thread=single,tb-size=128", emulated),
            Self::Tcg => ("tcg,thread=multi,tb-size=128", emulated),
        };
        ["-accel", accelerator, "-cpu", cpu, "-smp", &processors.to_string()].map(str::to_owned)
    }

    /// How many processors each of `machines` has that run at once on a host with `cores`.
    /// An emulated one takes a thread of the host for each.
    pub fn processors(self, cores: usize, machines: usize) -> usize {
        match self {
            Self::Kvm => MOST_PROCESSORS,
            Self::Tcg => (cores / machines.max(1)).clamp(1, MOST_PROCESSORS),
        }
    }

    /// The name in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// QEMU and the firmware images, by default where Debian's packages put them.
#[derive(Clone, Debug)]
pub struct Tools {
    /// What the images' programs are made for.
    pub architecture: Architecture,
    /// The emulator: a name or a path.
    pub qemu: PathBuf,
    /// UEFI without Secure Boot: code.
    pub uefi_code: PathBuf,
    /// Its empty variables.
    pub uefi_vars: PathBuf,
    /// UEFI with Secure Boot: code.
    pub secure_code: PathBuf,
    /// Its variables, with Microsoft's keys enrolled.
    pub secure_vars: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Self::of(Architecture::X86_64)
    }
}

impl Tools {
    /// Debian's `qemu-system-x86` and `ovmf`, or `qemu-system-arm` and `qemu-efi-aarch64`.
    pub fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::X86_64 => Self::of_x86(),
            Architecture::Aarch64 => Self::of_arm(),
        }
    }

    fn of_x86() -> Self {
        Self {
            architecture: Architecture::X86_64,
            qemu: "qemu-system-x86_64".into(),
            uefi_code: "/usr/share/OVMF/OVMF_CODE_4M.fd".into(),
            uefi_vars: "/usr/share/OVMF/OVMF_VARS_4M.fd".into(),
            secure_code: "/usr/share/OVMF/OVMF_CODE_4M.ms.fd".into(),
            secure_vars: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd".into(),
        }
    }

    fn of_arm() -> Self {
        Self {
            architecture: Architecture::Aarch64,
            qemu: "qemu-system-aarch64".into(),
            uefi_code: "/usr/share/AAVMF/AAVMF_CODE.fd".into(),
            uefi_vars: "/usr/share/AAVMF/AAVMF_VARS.fd".into(),
            secure_code: "/usr/share/AAVMF/AAVMF_CODE.ms.fd".into(),
            secure_vars: "/usr/share/AAVMF/AAVMF_VARS.ms.fd".into(),
        }
    }

    /// What to do when its firmware is missing.
    pub(super) fn firmware_hint(&self) -> &'static str {
        match self.architecture {
            Architecture::X86_64 => "Install the package ovmf, or run `bootwright doctor --install`.",
            Architecture::Aarch64 => {
                "Install the package qemu-efi-aarch64, or run `bootwright doctor --install`."
            }
        }
    }

    /// The firmware of a mode: code and variables; none for BIOS, which QEMU brings along.
    pub fn firmware(&self, mode: BootMode) -> Option<(&Path, &Path)> {
        if is_secure(mode) {
            Some((&self.secure_code, &self.secure_vars))
        } else if is_uefi(mode) {
            Some((&self.uefi_code, &self.uefi_vars))
        } else {
            None
        }
    }
}

/// What a machine starts from, by its absolute path.
#[derive(Clone, Copy, Debug)]
pub enum Medium<'a> {
    /// An ISO, which is only read.
    Disc(&'a Path),
    /// A disk that the machine writes to: a copy of its own.
    Disk(&'a Path),
    /// The same on the bus of virtual machines (virtio), which every kernel that is made for them knows.
    Virtio(&'a Path),
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// Emulator and firmware.
    pub tools: &'a Tools,
    /// What it starts from.
    pub medium: Medium<'a>,
    /// Firmware, and how the medium is attached.
    pub mode: BootMode,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// How instructions are carried out.
    pub accelerator: Accelerator,
    /// How many processors it has.
    pub processors: usize,
    /// Whether QEMU's seccomp filter is on.
    pub sandbox: bool,
}

/// QEMU's filter: it may not change its rights or start a process.
pub const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

fn block_device(name: &str, file: &Path, read_only: bool) -> String {
    // JSON, because the other form of the option gives commas in paths a meaning.
    json!({
        "driver": "raw", "node-name": name, "read-only": read_only,
        "file": {"driver": "file", "filename": file.to_string_lossy(), "read-only": read_only},
    })
    .to_string()
}

/// The arguments that decide what the guest sees of board, firmware and medium.
pub fn hardware(config: &Config, vars: Option<&Path>) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-no-user-config".into(), "-nodefaults".into()];
    let mut add = |list: &[&str]| args.extend(list.iter().map(OsString::from));
    let arm = config.tools.architecture == Architecture::Aarch64;
    let mut board = if arm { "virt,gic-version=3" } else { "q35" }.to_owned();
    if is_secure(config.mode) && !arm {
        // The variables are protected by system management mode; S3 would be a way round it.
        board.push_str(",smm=on");
        add(&["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]);
    }
    if let (Some((code, _)), Some(vars)) = (config.tools.firmware(config.mode), vars) {
        board.push_str(",pflash0=code,pflash1=vars");
        add(&["-blockdev", &block_device("code", code, true)]);
        add(&["-blockdev", &block_device("vars", vars, false)]);
    }
    add(&["-machine", &board]);
    add(&config
        .accelerator
        .arguments(config.tools.architecture, config.processors)
        .each_ref()
        .map(String::as_str));
    add(&["-m", &config.memory_mib.to_string()]);
    let (medium, read_only, kind) = match config.medium {
        Medium::Disc(path) => (path, true, "cd"),
        Medium::Disk(path) | Medium::Virtio(path) => (path, false, "hd"),
    };
    add(&["-blockdev", &block_device("medium", medium, read_only)]);
    if matches!(config.mode, BootMode::BiosUsb | BootMode::UefiUsb | BootMode::SecureBootUsb) {
        add(&["-device", "qemu-xhci", "-device", "usb-storage,drive=medium,removable=on,bootindex=0"]);
    } else if matches!(config.medium, Medium::Virtio(_)) {
        add(&["-device", "virtio-blk-pci,drive=medium,bootindex=0"]);
    } else if arm {
        add(&["-device", "virtio-scsi-pci"]);
        add(&["-device", &format!("scsi-{kind},drive=medium,bootindex=0")]);
    } else {
        add(&["-device", &format!("ide-{kind},drive=medium,bootindex=0")]);
    }
    // A PC's screen needs a window into memory that ARM's PCI has not.
    add(&["-device", if arm { "virtio-gpu-pci" } else { "VGA" }]);
    add(&["-object", "rng-builtin,id=rng", "-device", "virtio-rng-pci,rng=rng"]);
    args
}

/// The arguments that connect the machine with us: sockets in its folder.
fn connections(architecture: Architecture, sandbox: bool) -> Vec<OsString> {
    let socket = |name: &str| format!("socket,id={name},path={name},server=on,wait=off");
    let port = format!("virtserialport,chardev=probe,id=probe,name={PORT}");
    let mut args: Vec<String> =
        ["-S", "-display", "none", "-nic", "none", "-action", "panic=pause,shutdown=pause"]
            .map(str::to_owned)
            .to_vec();
    if sandbox {
        args.extend(["-sandbox".to_owned(), SANDBOX.to_owned()]);
    }
    for name in ["qmp", "serial", "probe"] {
        args.extend(["-chardev".to_owned(), socket(name)]);
    }
    args.extend(["-mon", "chardev=qmp,mode=control", "-serial", "chardev:serial"].map(str::to_owned));
    let panic = match architecture {
        Architecture::X86_64 => "pvpanic",
        Architecture::Aarch64 => "pvpanic-pci",
    };
    args.extend(["-device", "virtio-serial-pci", "-device", &port, "-device", panic].map(str::to_owned));
    args.into_iter().map(OsString::from).collect()
}

/// What comes out of a machine.
#[derive(Debug)]
pub enum Output {
    /// Bytes of the serial line.
    Serial(Vec<u8>),
    /// Bytes of the verifier's port.
    Probe(Vec<u8>),
    /// QEMU's own words.
    Qmp(Message),
    /// QEMU closed its protocol: it is gone, or will be.
    Closed,
}

/// A running machine. Dropping it kills QEMU.
#[derive(Debug)]
pub struct Machine {
    qemu: Running,
    requests: Requests,
    probe: UnixStream,
    serial: UnixStream,
    outputs: Receiver<Output>,
    words: Receiver<String>,
    folder: PathBuf,
}

impl Machine {
    /// Starts QEMU, halted, with `folder` for its sockets and files.
    ///
    /// # Errors
    /// Class *host*, with QEMU's own words, if it does not come up; *cancelled* on request.
    pub fn start(config: &Config, folder: &Path, cancel: &Cancel) -> Result<Self> {
        let vars = match config.tools.firmware(config.mode) {
            None => None,
            Some((code, vars)) => {
                let hint = config.tools.firmware_hint();
                File::open(code)
                    .during(|| format!("opening the firmware {}", code.display()))
                    .map_err(|f| f.hint(hint))?;
                let copy = folder.join("vars.fd");
                std::fs::copy(vars, &copy)
                    .during(|| format!("copying the firmware's variables {}", vars.display()))
                    .map_err(|f| f.hint(hint))?;
                Some(copy)
            }
        };
        let mut qemu = Process::new(&config.tools.qemu)
            .args(hardware(config, vars.as_deref()))
            .args(connections(config.tools.architecture, config.sandbox))
            .dir(folder)
            .spawn()?;
        let words = keep_words(&mut qemu);
        let mut starting = Starting {
            qemu: &mut qemu,
            words: &words,
            folder,
            deadline: Instant::now() + START_LIMIT,
            cancel,
        };
        let (qmp, serial, probe) =
            (starting.connect("qmp")?, starting.connect("serial")?, starting.connect("probe")?);
        let cloning = || "connecting to QEMU".to_owned();
        // Bounded: a guest that floods its line waits for us, it does not fill our memory.
        let (send, outputs) = mpsc::sync_channel(1024);
        let probe_in = probe.try_clone().during(cloning)?;
        let serial_in = serial.try_clone().during(cloning)?;
        pump(serial_in, send.clone(), Output::Serial);
        pump(probe_in, send.clone(), Output::Probe);
        let qmp_in = qmp.try_clone().during(cloning)?;
        std::thread::spawn(move || {
            let _ = qmp::read_messages(qmp_in, |m| drop(send.send(Output::Qmp(m))));
            let _ = send.send(Output::Closed);
        });
        // A guest that does not read must not hold us up for ever.
        probe.set_write_timeout(Some(Duration::from_secs(10))).during(cloning)?;
        serial.set_write_timeout(Some(Duration::from_secs(10))).during(cloning)?;
        // A QEMU that ends at once may take the connections and no request.
        let requests = Requests::start(qmp).map_err(|_| Failure::host(obituary(&mut qemu, &words)))?;
        Ok(Self { qemu, requests, probe, serial, outputs, words, folder: folder.to_owned() })
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn power_on(&mut self) -> Result<()> {
        self.request("cont", &json!({}))
            .map(|_| ())
            .map_err(|_| Failure::host(obituary(&mut self.qemu, &self.words)))
    }

    /// Sends a request to QEMU; the reply comes as an [`Output`] with this id.
    ///
    /// # Errors
    /// If QEMU is gone.
    pub fn request(&mut self, command: &str, arguments: &Value) -> Result<u64> {
        self.requests.send(command, arguments)
    }

    /// Sends a line to the guest's probe.
    ///
    /// # Errors
    /// If the guest does not read, or QEMU is gone.
    pub fn say(&mut self, line: &str) -> Result<()> {
        self.probe.write_all(line.as_bytes()).during(|| "speaking to the image".to_owned())
    }

    /// Presses keys on the serial line.
    ///
    /// # Errors
    /// If the guest does not read, or QEMU is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.serial.write_all(keys.as_bytes()).during(|| "typing on the serial line".to_owned())
    }

    /// The next thing that comes out, within `limit`.
    pub fn next(&mut self, limit: Duration) -> Option<Output> {
        match self.outputs.recv_timeout(limit) {
            Ok(output) => Some(output),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Output::Closed),
        }
    }

    /// The machine's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why QEMU is gone: how it ended and its own words.
    pub fn obituary(&mut self) -> String {
        obituary(&mut self.qemu, &self.words)
    }

    /// How long QEMU's threads ran, and how long they waited for a processor of the host.
    pub fn processor_time(&self) -> Option<(Duration, Duration)> {
        let (mut ran, mut waited) = (0, 0);
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.qemu.id())).ok()? {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            let (thread_ran, thread_waited) = schedstat(&text)?;
            ran += thread_ran;
            waited += thread_waited;
        }
        Some((Duration::from_nanos(ran), Duration::from_nanos(waited)))
    }

    /// Ends it.
    pub fn end(mut self) {
        if self.requests.send("quit", &json!({})).is_ok() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline && matches!(self.qemu.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A machine whose sockets are not all connected yet.
struct Starting<'a> {
    qemu: &'a mut Running,
    words: &'a Receiver<String>,
    folder: &'a Path,
    deadline: Instant,
    cancel: &'a Cancel,
}

impl Starting<'_> {
    fn connect(&mut self, name: &str) -> Result<UnixStream> {
        let opening = || format!("opening {}", self.folder.display());
        let folder = File::open(self.folder).during(opening)?;
        // The path of a socket has 107 bytes at most (unix(7)); a folder's may be longer.
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        loop {
            self.cancel.check()?;
            match UnixStream::connect(&path) {
                Ok(stream) => return Ok(stream),
                Err(_) if self.qemu.try_wait()?.is_some() => {
                    return Err(Failure::host(obituary(self.qemu, self.words)));
                }
                Err(e) if Instant::now() >= self.deadline => {
                    return Err(Failure::io(format!("connecting to QEMU's socket {name}"), &e));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

fn pump(mut stream: UnixStream, send: SyncSender<Output>, wrap: fn(Vec<u8>) -> Output) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if send.send(wrap(buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// Keeps the beginning of what QEMU says on stderr; it speaks when something is wrong.
fn keep_words(qemu: &mut Running) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let (stdout, stderr) = (qemu.stdout(), qemu.stderr());
    std::thread::spawn(move || stdout.map(|mut s| std::io::copy(&mut s, &mut std::io::sink())));
    std::thread::spawn(move || {
        let Some(mut stderr) = stderr else { return };
        let mut words = Vec::new();
        let _ = stderr.by_ref().take(WORDS_KEPT).read_to_end(&mut words);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        let _ = send.send(String::from_utf8_lossy(&words).into_owned());
    });
    receive
}

fn obituary(qemu: &mut Running, words: &Receiver<String>) -> String {
    // Its sockets close a moment before it can be waited for.
    let deadline = Instant::now() + Duration::from_secs(5);
    let status = loop {
        match qemu.try_wait() {
            Ok(Some(status)) => break status.to_string(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            _ => break "it still runs and does not answer".to_owned(),
        }
    };
    let words = words.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    // `-cpu max` under TCG names every feature that it leaves out; that is no reason.
    let words: Vec<&str> = words.lines().filter(|l| !l.contains("warning: TCG doesn't support")).collect();
    let memory = if status.contains("signal: 9") { "; the kernel kills it when memory runs out" } else { "" };
    format!("QEMU ended ({status}{memory}): {}", words.join(" | "))
}

/// Nanoseconds on a processor and waiting for one (`sched-stats.rst` of Linux).
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(mode: BootMode) -> String {
        arguments_with(mode, Medium::Disc(Path::new("/images/a,b \"c\".iso")))
    }

    fn arguments_with(mode: BootMode, medium: Medium<'_>) -> String {
        arguments_of(Architecture::X86_64, mode, medium)
    }

    fn arguments_of(architecture: Architecture, mode: BootMode, medium: Medium<'_>) -> String {
        let tools = Tools::of(architecture);
        let config = Config {
            tools: &tools,
            medium,
            mode,
            memory_mib: 512,
            accelerator: Accelerator::Tcg,
            processors: 1,
            sandbox: true,
        };
        let args = hardware(&config, tools.firmware(mode).map(|_| Path::new("vars.fd")));
        args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_mode_has_its_board_firmware_and_medium() {
        for mode in BootMode::ALL {
            let args = arguments(mode);
            assert_eq!(args.contains("pflash0=code"), is_uefi(mode), "{args}");
            assert_eq!(args.contains("smm=on"), is_secure(mode), "{args}");
            assert_eq!(args.contains("OVMF_CODE_4M.ms.fd"), is_secure(mode), "{args}");
            assert_eq!(args.contains("usb-storage"), mode.as_str().ends_with("usb"), "{args}");
            assert!(args.contains("-nodefaults") && args.contains(r#""read-only":true"#));
        }
    }

    #[test]
    fn a_disk_is_written_to_and_a_disc_is_not() {
        let disk = Medium::Disk(Path::new("/images/disk.img"));
        for mode in [BootMode::Bios, BootMode::Uefi, BootMode::SecureBoot] {
            let (disc, disk) = (arguments(mode), arguments_with(mode, disk));
            assert!(disc.contains("ide-cd,drive=medium") && disk.contains("ide-hd,drive=medium"));
            assert!(disk.contains(r#""filename":"/images/disk.img","read-only":false"#), "{disk}");
            assert!(!disc.contains(r#".iso","read-only":false"#), "{disc}");
        }
        assert!(arguments_with(BootMode::UefiUsb, disk).contains("usb-storage,drive=medium"));
        let virtio = arguments_with(BootMode::Uefi, Medium::Virtio(Path::new("/images/disk.img")));
        assert!(virtio.contains("virtio-blk-pci,drive=medium") && virtio.contains(r#""read-only":false"#));
    }

    #[test]
    fn an_arm_machine_has_no_part_of_a_pc() {
        let disc = Medium::Disc(Path::new("/images/arm.iso"));
        for mode in [BootMode::Uefi, BootMode::UefiUsb, BootMode::SecureBoot] {
            let args = arguments_of(Architecture::Aarch64, mode, disc);
            assert!(args.contains("-machine virt,") && args.contains("AAVMF"), "{args}");
            for pc in ["q35", "smm", "ICH9", "VGA", "ide-", "qemu64", "OVMF_"] {
                assert!(!args.contains(pc), "{pc}: {args}");
            }
        }
        assert!(arguments_of(Architecture::Aarch64, BootMode::Uefi, disc).contains("scsi-cd,drive=medium"));
        let words = connections(Architecture::Aarch64, false);
        assert!(words.contains(&"pvpanic-pci".into()) && !words.contains(&"pvpanic".into()));
    }

    #[test]
    fn emulated_machines_share_the_processors_of_the_host() {
        let tcg = |cores, machines| Accelerator::Tcg.processors(cores, machines);
        assert_eq!([tcg(2, 1), tcg(2, 2), tcg(1, 1), tcg(8, 2), tcg(2, 4), tcg(4, 0)], [2, 1, 1, 2, 1, 2]);
        assert_eq!(Accelerator::Kvm.processors(1, 4), 2);
        assert!(
            Accelerator::Tcg
                .arguments(Architecture::X86_64, 1)
                .contains(&"tcg,thread=single,tb-size=128".to_owned())
        );
    }

    #[test]
    fn scheduler_statistics_are_read() {
        assert_eq!(schedstat("5470000 102300 12\n"), Some((5_470_000, 102_300)));
        assert_eq!(schedstat(""), None);
    }

    #[test]
    fn a_path_is_never_an_option() {
        assert!(arguments(BootMode::Bios).contains(r#""filename":"/images/a,b \"c\".iso""#));
    }
}
