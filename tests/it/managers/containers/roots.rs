//! What the packages of a comparison hold: this host's own programs for accounts, services and
//! packages, so that what they do is real.

use super::super::{base_tree, busybox_tree, command, must, programs, put};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Programs that carry out accounts and services of systemd.
pub const ACCOUNTS: [&str; 3] = ["/usr/sbin/useradd", "/usr/sbin/usermod", "/usr/sbin/chpasswd"];
/// Switches services on and off.
pub const SYSTEMCTL: &str = "/usr/bin/systemctl";

/// Names of busybox that package managers and their scripts call.
const MORE_OF_BUSYBOX: [&str; 38] = [
    "awk", "basename", "cmp", "cut", "date", "dirname", "du", "find", "groups", "head", "install", "ionice",
    "mknod", "mktemp", "nice", "nproc", "od", "ps", "pwd", "readlink", "realpath", "rmdir", "sleep", "sort",
    "stat", "stty", "sync", "tail", "tee", "tr", "tty", "uname", "uniq", "wc", "which", "xargs", "xz",
    "getent",
];

/// Folders, accounts and their groups.
pub fn system(tree: &Path, id: &str) {
    base_tree(tree, id);
    accounts(tree);
    for folder in ["dev", "proc", "run", "sys", "var/cache", "var/log"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
}

/// A group, passwords of their own, and what new accounts are like.
pub fn accounts(tree: &Path) {
    put(tree, "etc/group", "root:x:0:\naudio:x:63:\n", 0o644);
    put(tree, "etc/shadow", "root:*:19000:0:99999:7:::\n", 0o600);
    put(tree, "etc/login.defs", "UID_MIN 1000\nGID_MIN 1000\nHOME_MODE 0700\n", 0o644);
}

/// busybox, without stand-ins for what is real here.
pub fn shell(tree: &Path) {
    busybox_tree(tree);
    for stub in ["usr/sbin/useradd", "usr/sbin/usermod", "usr/bin/systemctl"] {
        fs::remove_file(tree.join(stub)).unwrap();
    }
    // The host's own: busybox would take the place of shadow's.
    fs::remove_file(tree.join("usr/bin/chpasswd")).unwrap();
    more_of_busybox(tree);
}

/// Its other names, where nothing else has them.
pub fn more_of_busybox(tree: &Path) {
    for name in MORE_OF_BUSYBOX {
        let _ = symlink("busybox", tree.join("usr/bin").join(name));
    }
}

/// OpenRC's way to switch a service on: a link in a runlevel. Its own program asks the running
/// system, which a test's root is not.
pub fn rc_update(tree: &Path) {
    let script = "#!/bin/sh\nset -eu\n[ \"$1\" = add ]\n[ -e \"/etc/init.d/$2\" ]\n\
        mkdir -p \"/etc/runlevels/$3\"\nln -sfn \"/etc/init.d/$2\" \"/etc/runlevels/$3/$2\"\n";
    put(tree, "usr/sbin/rc-update", script, 0o755);
}

/// What starts the services of a root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Systemd,
    Openrc,
    Runit,
}

impl Init {
    /// A service: where its file lies, and what is in it.
    pub fn service(self, name: &str) -> (String, &'static str) {
        match self {
            Self::Systemd => (
                format!("etc/systemd/system/{name}.service"),
                "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
            ),
            Self::Openrc => (format!("etc/init.d/{name}"), "#!/sbin/openrc-run\ncommand=/bin/true\n"),
            Self::Runit => (format!("etc/sv/{name}/run"), "#!/bin/sh\nexec sleep 9\n"),
        }
    }

    /// The link that switches a service on.
    pub fn on(self, name: &str) -> String {
        match self {
            Self::Systemd => format!("etc/systemd/system/multi-user.target.wants/{name}.service"),
            Self::Openrc => format!("etc/runlevels/default/{name}"),
            Self::Runit => format!("etc/runit/runsvdir/default/{name}"),
        }
    }

    /// The mode of a service's file.
    pub fn mode(self) -> u32 {
        if self == Self::Systemd { 0o644 } else { 0o755 }
    }
}

/// The package `hello`, with a service, and one that is on unless somebody says otherwise.
pub fn hello(tree: &Path, init: Init) {
    put(tree, "usr/share/hello/hi", "hi\n", 0o644);
    for name in ["hello", "noisy"] {
        if init == Init::Systemd {
            unit(tree, name);
        } else {
            let (path, text) = init.service(name);
            put(tree, &path, text, 0o755);
        }
    }
    let to = match init {
        Init::Systemd => "/usr/lib/systemd/system/noisy.service",
        Init::Openrc => "/etc/init.d/noisy",
        Init::Runit => "/etc/sv/noisy",
    };
    let link = tree.join(init.on("noisy"));
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(to, link).unwrap();
}

/// systemd's services of the network, as far as switching them on and off goes.
pub fn network(tree: &Path) {
    ["systemd-networkd", "systemd-networkd-wait-online", "systemd-resolved"]
        .iter()
        .for_each(|name| unit(tree, name));
}

fn unit(tree: &Path, name: &str) {
    let text = format!(
        "[Unit]\nDescription={name}\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    );
    put(tree, &format!("usr/lib/systemd/system/{name}.service"), text, 0o644);
}

/// The files of Debian packages of this host, with the libraries that their programs need.
pub fn debian(tree: &Path, packages: &[&str]) {
    let listed = must(command("dpkg").arg("-L").args(packages));
    let unread =
        ["/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/lintian", "/usr/share/bash"];
    let mut programs_of: Vec<&str> = Vec::new();
    for file in
        listed.lines().filter(|line| line.starts_with('/') && !unread.iter().any(|u| line.starts_with(u)))
    {
        let Ok(about) = fs::symlink_metadata(file) else { continue };
        let place = if file.starts_with("/usr/") || file.starts_with("/etc/") || file.starts_with("/var/") {
            file.to_owned()
        } else {
            format!("/usr{file}")
        };
        let to = tree.join(place.trim_start_matches('/').trim_end_matches("/."));
        if about.is_dir() {
            fs::create_dir_all(to).unwrap();
        } else if about.is_symlink() && Path::new(file).parent() == Some(Path::new("/")) {
            // `/bin`: the package has a folder there, this host a link to the one in `/usr`.
        } else if about.is_symlink() {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let _ = symlink(fs::read_link(file).unwrap(), to);
        } else {
            let bytes = fs::read(file).unwrap();
            if bytes.starts_with(b"\x7fELF") {
                programs_of.push(file);
            }
            put(tree, &place[1..], bytes, about.permissions().mode() & 0o7777);
        }
    }
    programs(tree, &programs_of);
}
