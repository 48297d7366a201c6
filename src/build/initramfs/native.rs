//! The tools of an emulated root that `mkinitramfs` starts thousands of times: this host's in
//! their place.
//!
//! Each is started for a few letters of text, and emulated that takes a hundred times as long as
//! the work. What they print is the same. They are seen only while the initramfs is made; where
//! a hook copies one of them into it, it gets the root's own.

use crate::build::stack::Stack;
use crate::build::union;
use crate::effects::Sandbox;
use crate::effects::process::find_tool;
use crate::model::Result;
use std::path::Path;

/// Shells, and tools for text, names and copies. What makes the archive's bytes (`cpio`, `zstd`)
/// or knows the kernel's modules (`kmod`) stays the root's own.
const TOOLS: [&str; 25] = [
    "basename", "bash", "cat", "chmod", "cp", "cut", "dash", "dirname", "env", "find", "grep", "head", "ln",
    "ls", "mkdir", "mktemp", "mv", "readlink", "realpath", "rm", "sed", "sort", "touch", "tr", "tsort",
];
/// Where the root's own are seen meanwhile.
const OWN: &str = "/run/own";
/// The host's libraries and loader (Debian's multiarch paths): names that no root for another
/// architecture has.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/lib64"];
/// The functions of `hook-functions` that copy files and programs (seen in 0.142), and the names
/// that they get below ours.
const COPIES: [(&str, &str); 2] =
    [("\ncopy_file()", "\ncopy_this_file()"), ("\ncopy_exec()", "\ncopy_this_exec()")];
/// Ours around them.
const AROUND: &str = include_str!("native.sh");

/// The functions with which hooks copy the root's own tools; `None` if they are not the ones
/// that we know.
pub(super) fn functions(text: &[u8]) -> Option<Vec<u8>> {
    let mut text = std::str::from_utf8(text).ok()?.to_owned();
    for (name, renamed) in COPIES {
        if text.matches(name).count() != 1 {
            return None;
        }
        text = text.replace(name, renamed);
    }
    text.push_str(AROUND);
    Some(text.into_bytes())
}

/// The sandbox with this host's tools; unchanged on a host that keeps its libraries elsewhere.
///
/// # Errors
/// If a layer cannot be read.
pub(super) fn tools(mut sandbox: Sandbox, stack: &Stack) -> Result<Sandbox> {
    if !LIBRARIES.iter().all(|path| Path::new(path).is_dir()) {
        return Ok(sandbox);
    }
    for path in LIBRARIES {
        sandbox = sandbox.bind(path, path);
    }
    for tool in TOOLS {
        let at = format!("usr/bin/{tool}");
        if let (Some(host), Some(own)) = (find_tool(tool), union::find(stack, &at)?) {
            sandbox = sandbox.bind(own, format!("{OWN}/{tool}")).bind(host, format!("/{at}"));
        }
    }
    Ok(sandbox)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::{Cancel, Process};

    #[test]
    fn hooks_copy_the_roots_own_tools() {
        let text = "#!/bin/sh\ncopy_file() {\n\techo \"file $*\"\n}\ncopy_exec() {\n\tcopy_file binary \"$1\" \"${2:-$1}\"\n}\n";
        let text = String::from_utf8(functions(text.as_bytes()).unwrap()).unwrap();
        assert!(text.contains("\ncopy_this_file() {") && text.contains("\ncopy_this_exec() {"), "{text}");
        assert_eq!(functions(b"#!/bin/sh\n"), None);
        assert_eq!(functions(b"\ncopy_file()\ncopy_file()\ncopy_exec()\n"), None);
        // What a shell makes of it, with a tool of the root's own at hand and without.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dash"), "").unwrap();
        let own = dir.path().display().to_string();
        let script = text.replace(OWN, &own);
        let script =
            format!("set -e\n{script}\ncopy_exec /bin/sh\ncopy_exec /bin/sed\ncopy_exec /sbin/sh /x\n");
        let output = Process::new("sh").args(["-c", &script]).check(&Cancel::default()).unwrap();
        assert_eq!(
            output.text(),
            format!(
                "file binary {own}/dash /bin/sh\nfile binary /bin/sed /bin/sed\nfile binary /sbin/sh /x\n"
            )
        );
    }
}
