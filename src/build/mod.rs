//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.

pub mod archive;
mod derived;
pub mod entry;
pub mod iso;
pub mod oci;
pub mod registry;
pub mod rootfs;
pub mod squashfs;
pub mod stack;
pub mod union;
