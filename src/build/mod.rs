//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.

pub mod archive;
pub mod entry;
pub mod iso;
pub mod rootfs;
pub mod squashfs;
pub mod stack;
pub mod union;
