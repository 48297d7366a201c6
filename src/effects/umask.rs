//! One umask for everything that we and our tools make.

use nix::sys::stat::{Mode, umask};

/// From now on new files and folders of this process, and of all that it starts, are
/// readable by all and writable by their owner, unless their maker says otherwise: the
/// caller's umask would get into images, where `/usr` is for everybody. What is secret
/// (signing keys, the state database) is made with its own mode.
pub fn fix() {
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
}
