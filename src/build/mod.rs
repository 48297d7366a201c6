//! Lock, layers, configuration, ISO, OCI image, root filesystem archive.
