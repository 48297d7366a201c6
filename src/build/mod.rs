//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.

pub mod apt;
pub mod cache;
mod configuration;
mod dpkg;
pub mod initramfs;
pub mod layers;
mod normalise;
pub mod packages;
pub mod root_files;
pub mod stack;
