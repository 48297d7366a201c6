//! Which Debian package has a program that we start. A test holds it to what `doctor` looks for.

/// Programs and their Debian packages.
const PACKAGES: [(&str, &str); 33] = [
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("gpgv", "gpgv"),
    ("dpkg", "dpkg"),
    ("dpkg-deb", "dpkg"),
    ("bwrap", "bubblewrap"),
    ("mksquashfs", "squashfs-tools"),
    ("unsquashfs", "squashfs-tools"),
    ("xorriso", "xorriso"),
    ("grub-mkimage", "grub-common"),
    ("mkfs.fat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mmd", "mtools"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-aarch64-static", "qemu-user-static"),
    ("qemu-x86_64-static", "qemu-user-static"),
    ("qemu-img", "qemu-utils"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("tar", "tar"),
    ("git", "git"),
    ("gpg", "gpg"),
    ("make", "make"),
    ("python3", "python3"),
    ("pacman", "pacman-package-manager"),
    ("mke2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("dnf", "dnf"),
    ("zypper", "zypper"),
    ("rpm", "rpm"),
    ("rpm2archive", "rpm"),
];

/// The Debian package of a program, if it is one that we start.
pub fn tool_package(program: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(name, _)| *name == program).map(|(_, package)| *package)
}
