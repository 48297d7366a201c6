//! A second, tiny initramfs that ties the first one to this very ISO.
//!
//! live-boot searches all disks for one with `/live/*.squashfs`. With two such media in one
//! machine the kernel of one would start the system of the other. live-boot's own cure is
//! a file `conf/uuid.conf` in the initramfs: a medium then has to carry the same text in
//! `.disk/live-uuid*`. GRUB loads several initramfs archives one after another and the
//! kernel unpacks them all, so the first one stays as it is.
//!
//! It also sets the environment of live-boot: since Debian 13 that mounts by util-linux, which
//! hands options to the kernel one by one and then takes 255 letters for the list of modules at
//! most (mount(8), "LIBMOUNT_FORCE_MOUNT2"). initramfs-tools reads `conf/conf.d`.

use crate::model::Digest;

/// The text that initramfs and medium share, without line end.
pub fn identity(build: Digest) -> String {
    build.hex()
}

/// Read by the shell that is the initramfs's init.
const ENVIRONMENT: &[u8] = b"export LIBMOUNT_FORCE_MOUNT2=always\n";

/// The initramfs with `conf/uuid.conf` and the environment, uncompressed.
pub fn initramfs(build: Digest) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text = identity(build).into_bytes();
    text.push(b'\n');
    record(&mut out, 1, "conf", 0o040_755, &[]);
    record(&mut out, 2, "conf/uuid.conf", 0o100_644, &text);
    record(&mut out, 3, "conf/conf.d", 0o040_755, &[]);
    record(&mut out, 4, "conf/conf.d/bootwright", 0o100_644, ENVIRONMENT);
    record(&mut out, 0, "TRAILER!!!", 0, &[]);
    out
}

/// One entry in the "newc" form (kernel documentation, `early-userspace/buffer-format`).
fn record(out: &mut Vec<u8>, inode: u32, name: &str, mode: u32, content: &[u8]) {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(b"070701");
    // inode, mode, uid, gid, links, mtime, size, device, rdevice, name size, checksum
    for field in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    align(out);
    out.extend_from_slice(content);
    align(out);
}

fn align(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        let bytes = initramfs(Digest::of("x"));
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<usize> =
            bytes.windows(6).enumerate().filter(|(_, w)| w == b"070701").map(|(i, _)| i).collect();
        assert_eq!(starts.len(), 5);
        assert!(starts.iter().all(|s| s % 4 == 0));
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(&Digest::of("x").hex()));
    }
}
