//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.

pub mod apt;
pub mod archive;
pub mod cache;
mod configuration;
mod dpkg;
pub mod entry;
pub mod initramfs;
pub mod iso;
pub mod layers;
mod normalise;
pub mod packages;
pub mod root_files;
pub mod rootfs;
pub mod squashfs;
pub mod stack;
pub mod union;
