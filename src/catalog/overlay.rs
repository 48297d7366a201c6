//! `specs/overlays/NAME/`: files laid over the root filesystem, as git stores them.

use super::diagnostic::Diagnostic;
use super::files::{File, FileKind};
use crate::model::catalog::{OverlayContent, OverlayEntry};
use std::sync::Arc;

/// Mount points and what a running system writes: files there would never be seen, or break it.
const RUNTIME: [&str; 4] = ["dev", "proc", "run", "sys"];
/// Links to folders below `usr`; a folder in their place would hide the whole system.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"];

/// One entry from the file at `path` in the catalog, `inner` in the image.
pub fn entry(path: &str, inner: &str, file: &File) -> Result<OverlayEntry, Box<Diagnostic>> {
    let refuse = |message: String, hint: &str| Err(Box::new(Diagnostic::of_file(path, message, hint)));
    let top = inner.split('/').next().unwrap_or_default();
    if RUNTIME.contains(&top) {
        return refuse(
            format!("nothing in /{top} is kept: it is made anew at every start"),
            "Use systemd-tmpfiles (usr/lib/tmpfiles.d/) to make files there.",
        );
    }
    if MERGED.contains(&top) {
        return refuse(
            format!("/{top} is a link to usr/{top}: an overlay would put a folder in its place"),
            "Move the file below usr/.",
        );
    }
    if inner.starts_with(".wh.") || inner.contains("/.wh.") {
        return refuse(
            "names that start with .wh. delete files in OCI images".to_owned(),
            "Choose another name; delete files in a post-install script.",
        );
    }
    content(path, inner, file)
}

/// Mount points of a device with OpenWrt, and what leads to them.
const OPENWRT_RUNTIME: [&str; 5] = ["dev", "proc", "sys", "tmp", "var"];

/// One entry of a device's overlay, from the file at `path` in the catalog, `inner` on the device.
pub fn openwrt_entry(path: &str, inner: &str, file: &File) -> Result<OverlayEntry, Box<Diagnostic>> {
    let top = inner.split('/').next().unwrap_or_default();
    if OPENWRT_RUNTIME.contains(&top) {
        return Err(Box::new(Diagnostic::of_file(
            path,
            format!("nothing in /{top} is kept: the device makes it anew at every start"),
            "Write it in a script at /etc/init.d, or in the first-boot script.",
        )));
    }
    content(path, inner, file)
}

fn content(path: &str, inner: &str, file: &File) -> Result<OverlayEntry, Box<Diagnostic>> {
    let refuse = |message: String, hint: &str| Err(Box::new(Diagnostic::of_file(path, message, hint)));
    let content = match file.kind {
        FileKind::Symlink => match target(&file.bytes) {
            Some(target) => OverlayContent::Symlink { target: target.to_owned() },
            None => {
                return refuse(
                    "this symbolic link has no usable target".to_owned(),
                    "A target is one line in UTF-8 of at most 4095 bytes.",
                );
            }
        },
        kind => {
            OverlayContent::File { bytes: Arc::clone(&file.bytes), executable: kind == FileKind::Executable }
        }
    };
    Ok(OverlayEntry { path: inner.to_owned(), content })
}

fn target(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let sane = !text.is_empty() && text.len() < 4096 && !text.chars().any(char::is_control);
    sane.then_some(text)
}
