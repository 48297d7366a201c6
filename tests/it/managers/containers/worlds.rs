//! A catalog for each package manager, whose smallest root has that manager and reads the signed
//! repository of the test by a server of this host: as an image it is what containers start from.

use super::super::apk::{self, SUITE as ALPINE_SUITE};
use super::super::rpm::{self, FEDORA, Kind, OPENSUSE};
use super::super::{World, command, find, must, pacman, programs, put, xbps};
use super::roots::{self, ACCOUNTS, Init, SYSTEMCTL};
use crate::crash::tiny::{self, serve};
use crate::shells::homes::zsh;
use std::any::Any;
use std::fs;
use std::path::Path;

/// A distribution of small packages, and a catalog of it with the image `tiny`.
pub struct Small {
    pub world: World,
    pub base: &'static str,
    pub suite: &'static str,
    /// What the package `hello` is called.
    pub hello: &'static str,
    pub init: Init,
    _kept: Box<dyn Any>,
}

impl Small {
    pub fn new(
        (base, suite): (&'static str, &'static str),
        hello: &'static str,
        mirrors: &str,
        kept: impl Any,
    ) -> Self {
        let spec = spec(base, suite, "oci, rootfs", "services: {}");
        let world = World::new(&spec, mirrors);
        let init = match base {
            "alpine" | "gentoo" => Init::Openrc,
            "void" => Init::Runit,
            _ => Init::Systemd,
        };
        Self { world, base, suite, hello, init, _kept: Box::new(kept) }
    }

    /// Builds the smallest image; gives what `--from` says of it.
    pub fn base_image(&self) -> String {
        format!("oci-archive:{}", find(&self.world.released(), ".oci.tar").display())
    }
}

/// A spec of the image `tiny`.
pub fn spec(base: &str, suite: &str, outputs: &str, more: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: tiny}}\nspec:\n  base: {base}\n  \
        suite: \"{suite}\"\n  channel: edge\n  outputs: [{outputs}]\n  {more}\n"
    )
}

/// Debian or Ubuntu: apt, whose archive has to be signed.
pub fn apt(base: &'static str) -> Small {
    let (suite, kernel) =
        if base == "ubuntu" { ("noble", "linux-image-generic") } else { ("bookworm", "linux-image-amd64") };
    let made = tiny::make_with(suite, kernel, |name, tree, tiny| match name {
        "tiny-base" => {
            for silent in ["usr/sbin/useradd", "usr/sbin/usermod"] {
                fs::remove_file(tree.join(silent)).unwrap();
            }
            roots::accounts(tree);
            roots::more_of_busybox(tree);
            programs(tree, &ACCOUNTS);
            programs(tree, &[SYSTEMCTL, "/usr/bin/gpgv"]);
            roots::debian(tree, &["apt"]);
            for table in ["cputable", "ostable", "tupletable"] {
                let path = format!("usr/share/dpkg/{table}");
                put(tree, &path, fs::read(Path::new("/").join(&path)).unwrap(), 0o644);
            }
            put(tree, "usr/share/keyrings/tiny.gpg", fs::read(&tiny.keyring).unwrap(), 0o644);
            let sources = format!(
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nSigned-By: /usr/share/keyrings/tiny.gpg\n",
                tiny.url
            );
            put(tree, &format!("etc/apt/sources.list.d/{base}.sources"), sources, 0o644);
            put(tree, "etc/apt/apt.conf.d/90tiny", "APT::Sandbox::User \"root\";\n", 0o644);
            for folder in ["var/cache", "var/lib/apt", "var/log/apt"] {
                fs::create_dir_all(tree.join(folder)).unwrap();
            }
        }
        "systemd-sysv" => {
            fs::remove_file(tree.join("usr/bin/systemctl")).unwrap();
            roots::network(tree);
        }
        "hello" => roots::hello(tree, Init::Systemd),
        _ => {}
    });
    let mirrors = format!(
        "  - {{base: {base}, urls: [\"{}\"], suites: [\"{{suite}}\"], components: [main], keyring: {}}}\n",
        made.url,
        made.keyring.display()
    );
    Small::new((base, suite), "hello", &mirrors, made)
}

/// Arch: pacman, which takes packages without signatures here: its own check is GnuPG's, with a
/// home that is not in an image.
pub fn arch() -> Small {
    arch_with(|_| {})
}

/// The same with more packages.
pub fn arch_with(more: impl FnOnce(&pacman::Repository)) -> Small {
    let (dir, repository) = pacman::repository();
    let url = serve(repository.dir.join("mirror"));
    fs::remove_dir_all(repository.dir.join("trees")).unwrap();
    let needs = |depends| pacman::About { depends, ..Default::default() };
    repository.package("filesystem", needs(&[]), |tree| roots::system(tree, "arch"));
    repository.package("busybox", needs(&["filesystem"]), roots::shell);
    repository.package("hello", needs(&["busybox"]), |tree| roots::hello(tree, Init::Systemd));
    repository.package("pacman", needs(&["filesystem"]), |tree| {
        programs(tree, &["/usr/bin/pacman", SYSTEMCTL]);
        zsh(tree);
        programs(tree, &ACCOUNTS);
        let text = format!(
            "[options]\nArchitecture = x86_64\nSigLevel = Never\n[core]\nServer = {url}/core/os/x86_64\n"
        );
        put(tree, "etc/pacman.conf", text, 0o644);
        for folder in ["var/cache/pacman/pkg", "var/lib/pacman"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
    });
    // Its files lie where their libraries are: two packages cannot have the same ones.
    repository.package("zsh", needs(&["pacman"]), |_| {});
    repository.package("base", needs(&["busybox>=1", "pacman"]), |_| {});
    more(&repository);
    repository.index();
    let mirrors = repository.mirrors();
    Small::new(("arch", "rolling"), "hello", &mirrors, (dir, repository))
}

/// The Debian packages that dnf is made of here.
const DNF: [&str; 13] = [
    "dnf",
    "python3-dnf",
    "dnf-data",
    "libdnf2-common",
    "python3-hawkey",
    "python3-libdnf",
    "python3-libcomps",
    "python3-rpm",
    "rpm-common",
    "python3.11-minimal",
    "python3-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
];

/// Fedora: dnf with its Python.
pub fn fedora() -> Small {
    let mut parts = DNF.to_vec();
    parts.extend(["python3-gpg", "python3-unbound"].iter().filter(|p| installed(p)));
    by_rpm(&FEDORA, "dnf", |tree, url| {
        roots::debian(tree, &parts);
        // Fedora's packages bring what Python would write here beside its modules.
        let dnf = fs::read_to_string(tree.join("usr/bin/dnf"))
            .or_else(|_| fs::read_to_string(tree.join("usr/bin/dnf-3")));
        put(tree, "usr/bin/dnf", dnf.unwrap().replace("/usr/bin/python3\n", "/usr/bin/python3 -B\n"), 0o755);
        let repository = format!("[tiny]\nname=tiny\nbaseurl={url}\ngpgcheck=0\n");
        put(tree, "etc/yum.repos.d/tiny.repo", repository, 0o644);
    })
}

/// openSUSE: zypper, which calls rpm.
pub fn opensuse() -> Small {
    by_rpm(&OPENSUSE, "zypper", |tree, url| {
        roots::debian(tree, &["zypper", "zypper-common", "rpm", "rpm-common", "libsolv-tools"]);
        let repository =
            format!("[tiny]\nname=tiny\nenabled=1\nautorefresh=1\nbaseurl={url}\ntype=rpm-md\ngpgcheck=0\n");
        put(tree, "etc/zypp/repos.d/tiny.repo", repository, 0o644);
        // openSUSE's own rpm has this link too; libzypp looks behind it.
        fs::remove_dir(tree.join("var/lib/rpm")).unwrap();
        std::os::unix::fs::symlink("../../usr/lib/sysimage/rpm", tree.join("var/lib/rpm")).unwrap();
    })
}

fn installed(package: &str) -> bool {
    Path::new("/var/lib/dpkg/info").join(format!("{package}.list")).exists()
}

fn by_rpm(kind: &'static Kind, manager: &str, fill: impl FnOnce(&Path, &str)) -> Small {
    let repository = rpm::Repository::new(kind);
    let url = format!("{}/{}", serve(repository.dir.join("mirror")), kind.path);
    fs::remove_dir_all(repository.dir.join("trees")).unwrap();
    let about = |tags| rpm::About { tags, ..Default::default() };
    repository.package("filesystem", about(&[]), |tree| roots::system(tree, kind.base));
    repository.package(
        "busybox",
        about(&["Requires: filesystem", "Provides: /bin/sh", "Epoch: 1"]),
        roots::shell,
    );
    repository.package("hello", about(&["Requires: /bin/sh"]), |tree| roots::hello(tree, Init::Systemd));
    repository.package(manager, about(&["Requires: busybox"]), |tree| {
        programs(tree, &ACCOUNTS);
        programs(tree, &[SYSTEMCTL]);
        // Debian's rpm looks elsewhere.
        put(tree, "etc/rpm/macros", "%_dbpath /usr/lib/sysimage/rpm\n", 0o644);
        fill(tree, &url);
    });
    repository.index();
    let mirrors = repository.mirrors();
    Small::new((kind.base, kind.suite), "hello", &mirrors, repository)
}

/// Alpine: apk, which looks at signatures. None where apk is not on this host.
pub fn alpine() -> Option<Small> {
    let program = apk::program()?;
    let repository = apk::Repository::new();
    let url = serve(repository.dir.join("mirror"));
    repository.package("alpine-baselayout", &[], "", |tree| roots::system(tree, "alpine"));
    repository.package("busybox", &["alpine-baselayout"], "", |tree| {
        roots::shell(tree);
        std::os::unix::fs::symlink("busybox", tree.join("usr/bin/ash")).unwrap();
    });
    repository.package("openrc", &["busybox"], "", |tree| {
        roots::rc_update(tree);
        for service in ["hostname", "networking", "sysctl"] {
            put(tree, &format!("etc/init.d/{service}"), "#!/sbin/openrc-run\n", 0o755);
        }
    });
    repository.package("shadow", &["busybox"], "", |tree| {
        programs(tree, &ACCOUNTS);
        programs(tree, &[program]);
        let text = fs::read(tree.join(&program[1..])).unwrap();
        put(tree, "usr/bin/apk", text, 0o755);
        put(tree, "etc/apk/repositories", format!("{url}/v{ALPINE_SUITE}/main\n"), 0o644);
        let key = repository.keys("test").join("test.rsa.pub");
        put(tree, "etc/apk/keys/test.rsa.pub", fs::read(key).unwrap(), 0o644);
    });
    repository.package("hello", &["busybox>=1"], "", |tree| roots::hello(tree, Init::Openrc));
    repository.index("test");
    let mirrors = repository.mirrors("test");
    Some(Small::new(("alpine", ALPINE_SUITE), "hello", &mirrors, repository))
}

/// Void: xbps, which looks at signatures. None where xbps is not on this host.
pub fn void() -> Option<Small> {
    if !xbps::is_there() {
        return None;
    }
    let repository = xbps::Repository::new();
    let url = format!("{}/current", serve(repository.dir.join("mirror")));
    // xbps writes down whose key it takes; Void's own package brings such files.
    let trusting = repository.dir.join("trusting");
    let import = "echo Y | XBPS_ARCH=x86_64 xbps-install --rootdir \"$1\" --config /nowhere --repository=\"$2\" --sync";
    must(command("sh").args(["-c", import, "sh"]).arg(&trusting).arg(&url));
    // Packages of xbps have no empty folders.
    let folders = "#!/bin/sh\ntest \"$1\" = post || exit 0\nmkdir -p /home /root /var/tmp /var/lib /var/cache /var/log \
        /usr/sbin /dev /proc /run /sys /etc/runit/runsvdir/default\n";
    repository.package("base-files", "", |tree| roots::system(tree, "void"));
    repository.package("busybox", "base-files>=1", |tree| {
        roots::shell(tree);
        put(tree, "INSTALL", folders, 0o755);
    });
    // One package, for their libraries lie where they lie here.
    repository.package("shadow", "xbps>=1", |tree| put(tree, "usr/share/shadow", "", 0o644));
    repository.package("xbps", "busybox>=1", |tree| {
        programs(tree, &ACCOUNTS);
        programs(
            tree,
            &["/usr/local/bin/xbps-install", "/usr/local/bin/xbps-query", "/usr/local/bin/xbps-rindex"],
        );
        put(tree, "etc/xbps.d/00-repository-main.conf", format!("repository={url}\n"), 0o644);
        for key in fs::read_dir(trusting.join("var/db/xbps/keys")).unwrap() {
            let key = key.unwrap();
            let path = format!("var/db/xbps/keys/{}", key.file_name().to_string_lossy());
            put(tree, &path, fs::read(key.path()).unwrap(), 0o644);
        }
    });
    repository.package("hello", "busybox>=1", |tree| roots::hello(tree, Init::Runit));
    repository.index("test");
    let mirrors = repository.mirrors("test", "");
    Some(Small::new(("void", "rolling"), "hello", &mirrors, repository))
}
