//! Whether the process that took a lease still lives.
//!
//! A PID alone proves nothing: numbers are used again, after a boot from the beginning, and
//! each PID namespace (container) has its own. So a process is known by boot id, PID
//! namespace, PID and start time (proc(5), `/proc/PID/stat`, field 22).

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The numbers by which a process is found again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Boot id and PID namespace; empty if they cannot be read.
    pub boot: String,
    /// Its number.
    pub pid: u32,
    /// Clock ticks from boot to the process's start.
    pub started: Option<i64>,
}

/// The process `pid` of this namespace.
pub fn identity(pid: u32) -> Identity {
    Identity { boot: this_boot(), pid, started: status(pid).map(|s| s.started) }
}

/// Whether the process can be looked for: it is of this boot and this container.
pub fn is_of_this_boot(identity: &Identity) -> bool {
    !identity.boot.is_empty() && identity.boot == this_boot()
}

/// Whether the process is known to be gone. A process of another boot or container cannot
/// be looked for; its leases end by time.
pub fn is_dead(identity: &Identity) -> bool {
    if !is_of_this_boot(identity) {
        return false;
    }
    let Ok(pid) = i32::try_from(identity.pid) else { return false };
    // Signal 0 asks only; EPERM means that it lives.
    if kill(Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH) {
        return true;
    }
    match (status(identity.pid), identity.started) {
        (Some(now), Some(then)) => now.ended || now.started != then,
        (Some(now), None) => now.ended,
        // /proc may hide other users' processes.
        (None, _) => false,
    }
}

/// Boot id and PID namespace.
fn this_boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.is_empty() { boot } else { format!("{} {}", boot.trim(), namespace.display()) }
}

struct Status {
    /// Killed and not yet waited for by its parent.
    ended: bool,
    started: i64,
}

fn status(pid: u32) -> Option<Status> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The program's name stands in parentheses and may contain spaces and parentheses itself.
fn parse_stat(text: &str) -> Option<Status> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    // Field 22 of the line; the first one after the name is field 3.
    Some(Status { ended, started: fields.get(22 - 3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_read_past_strange_names() {
        // `cat /proc/self/stat` of a program called `a) (b`.
        let line = "1205 (a) (b) R 1 1205 1 0 -1 4194304 93 0 0 0 0 0 0 0 20 0 1 0 215834 2703360 0";
        let status = parse_stat(line).unwrap();
        assert_eq!((status.ended, status.started), (false, 215_834));
        assert!(parse_stat(&line.replace(" R ", " Z ")).unwrap().ended);
        for bad in ["", "1 (x", "1 (x) R 1 2", "no name"] {
            assert!(parse_stat(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_surely_gone_is_dead() {
        let own = identity(std::process::id());
        assert!(own.started.is_some() && !is_dead(&own));
        let used_again = Identity { started: own.started.map(|t| t - 1), ..own.clone() };
        assert!(is_dead(&used_again));
        let no_such = Identity { pid: (1 << 22) + 1, ..own.clone() };
        assert!(is_dead(&no_such));
        for boot in ["another boot", ""] {
            assert!(!is_dead(&Identity { boot: boot.to_owned(), ..no_such.clone() }));
        }
    }
}
