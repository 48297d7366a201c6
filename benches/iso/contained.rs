//! Other tools in namespaces of their own.

use bootwright::effects::Process;

/// A tool in namespaces of its own: what it starts and mounts goes when it goes, so that a
/// comparison that is stopped leaves nothing mounted below the work folder.
pub fn contained(tool: &str) -> Process {
    Process::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(tool)
}
