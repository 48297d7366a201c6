//! What this host and its user are called, and what it has.

/// The names of this host and of the user that the process runs as, but for `root`, which every
/// host has. What cannot be found out is left out.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    if !host.is_empty() {
        names.extend(host.split_once('.').map(|(first, _)| first.to_owned()));
        names.push(host);
    }
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    names.extend(user.map(|user| user.name).filter(|name| name != "root"));
    names.retain(|name| name != "localhost");
    names
}

/// How much memory programs can have without anything being swapped out, in bytes; `None` where the
/// kernel does not say.
pub fn available_memory() -> Option<u64> {
    available_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// `MemAvailable` of proc(5), in bytes: its kB are units of 1024.
pub fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
