//! What this host can boot with: QEMU's version, its seccomp filter, firmware, memory.

use super::machine::{SANDBOX, Tools};
use crate::effects::files::digest_file;
use crate::effects::host::available_memory;
use crate::effects::{Cancel, Process};
use crate::model::spec::BootMode;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use serde_json::Value;
use std::time::Duration;

/// Memory that QEMU itself and the host keep for themselves, in MiB.
const RESERVE_MIB: u64 = 384;

/// QEMU on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`.
    pub qemu: String,
    /// Whether its seccomp filter works here.
    pub sandbox: bool,
}

impl Host {
    /// The words for evidence.
    pub fn words(&self) -> Vec<String> {
        let sandbox = if self.sandbox { "on" } else { "not available here" };
        vec![format!("QEMU {}", self.qemu), format!("QEMU's seccomp filter: {sandbox}")]
    }
}

/// Starts QEMU without a machine, under its filter if that works.
///
/// # Errors
/// Class *host* if QEMU is missing or does not even start without a machine.
pub fn look(tools: &Tools, cancel: &Cancel) -> Result<Host> {
    let ask = |sandbox: bool| {
        let mut process = Process::new(&tools.qemu)
            .args(["-machine", "none", "-no-user-config", "-nodefaults", "-display", "none", "-qmp", "stdio"])
            .stdin(&b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n"[..])
            .timeout(Duration::from_secs(20));
        if sandbox {
            process = process.args(["-sandbox", SANDBOX]);
        }
        process.check(cancel)
    };
    let (output, sandbox) = match ask(true) {
        Ok(output) => (output, true),
        Err(failure) if failure.class == FailureClass::Cancelled => return Err(failure),
        Err(_) => (ask(false)?, false),
    };
    let qemu = version(&output.text())
        .ok_or_else(|| Failure::host(format!("{} does not speak QMP", tools.qemu.display())))?;
    Ok(Host { qemu, sandbox })
}

/// The version in QMP's greeting.
fn version(text: &str) -> Option<String> {
    let greeting: Value = serde_json::from_str(text.lines().next()?).ok()?;
    let version = &greeting["QMP"]["version"];
    let number = |name: &str| version["qemu"][name].as_u64();
    let package = version["package"].as_str().unwrap_or("").trim();
    let package = if package.is_empty() { String::new() } else { format!(" ({package})") };
    Some(format!("{}.{}.{}{package}", number("major")?, number("minor")?, number("micro")?))
}

/// The firmware images of these modes, by name and digest.
pub fn firmware_words(tools: &Tools, modes: &[BootMode]) -> Vec<String> {
    let mut words = Vec::new();
    for (code, _) in modes.iter().filter_map(|m| tools.firmware(*m)) {
        let name = code.file_name().unwrap_or_default().to_string_lossy();
        // A missing one becomes the verdict of its boot.
        if let Ok((digest, _)) = digest_file(code) {
            words.push(format!("firmware {name} {digest}"));
        }
    }
    words.dedup();
    words
}

/// How many machines may run at once.
///
/// # Errors
/// Class *host* if there is not enough memory for one.
pub fn machines(jobs: usize, memory_mib: u32) -> Result<usize> {
    let Some(available) = available_memory().map(|bytes| bytes >> 20) else { return Ok(1) };
    let each = u64::from(memory_mib) + RESERVE_MIB;
    let room = usize::try_from(available / each).unwrap_or(usize::MAX);
    if room == 0 {
        return Err(Failure::new(
            ErrorCode::OutOfMemory,
            FailureClass::Host,
            format!("a machine of {memory_mib} MiB does not fit into the {available} MiB that are free"),
        )
        .hint("Free some memory, or lower verify.memoryMib."));
    }
    Ok(jobs.clamp(1, room))
}

/// How many processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::host::available_of;

    #[test]
    fn a_greeting_has_the_version() {
        // QEMU 7.2 of Debian 12.
        let text = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7+deb12u18+b3"}, "capabilities": ["oob"]}}"#;
        assert_eq!(version(text).unwrap(), "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)");
        assert_eq!(version("qemu: no"), None);
        assert_eq!(version(r#"{"QMP": {}}"#), None);
    }

    #[test]
    fn memory_limits_the_machines() {
        assert_eq!(available_of("MemTotal: 9 kB\nMemAvailable:   2097152 kB\n"), Some(2 << 30));
        assert_eq!(available_of("MemTotal: 9 kB\n"), None);
        assert_eq!(machines(3, u32::MAX).unwrap_err().code, ErrorCode::OutOfMemory);
        assert!(machines(0, 1).unwrap() == 1);
    }

    #[test]
    fn a_missing_emulator_is_named() {
        let tools = Tools { qemu: "no-such-emulator".into(), ..Tools::default() };
        let failure = look(&tools, &Cancel::default()).unwrap_err();
        assert!(failure.message.contains("no-such-emulator is not installed"), "{failure}");
    }
}
