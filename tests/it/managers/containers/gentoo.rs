//! Gentoo: portage with its Python and its tools in a base image, which fetches a signed snapshot of
//! the repository and signed binary packages from a server of this host.

use super::super::emerge::{COMPONENT, Repository};
use super::super::{Gpg, command, must, programs, put};
use super::roots::{self, ACCOUNTS, Init};
use super::worlds::Small;
use crate::crash::tiny::serve;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::rc::Rc;

/// Who signs snapshots: `emerge-webrsync` takes no other name.
const SNAPSHOTS_BY: &str = "infrastructure@gentoo.org";

/// The Debian packages whose programs portage calls, beside its Python.
const TOOLS: [&str; 14] = [
    "bash",
    "coreutils",
    "findutils",
    "grep",
    "gpg",
    "gpg-agent",
    "gpgconf",
    "python3-minimal",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "rsync",
    "sed",
    "tar",
];

/// Gentoo's own brings the keys of its release engineers into the place that portage looks at;
/// this one those of the test.
const GETUTO: &str = "#!/bin/bash\nset -eu\nexport GNUPGHOME=/etc/portage/gnupg\n\
    [[ ! -d $GNUPGHOME ]] || exit 0\nmkdir -m 0755 \"$GNUPGHOME\"\n\
    gpg --batch --quiet --import /usr/share/openpgp-keys/gentoo-release.asc\n\
    gpg --batch --with-colons --list-keys | sed -n 's/^fpr:*\\([^:]*\\):$/\\1:6:/p' | gpg --batch --quiet --import-ownertrust\n\
    gpg --batch --quiet --check-trustdb\n\
    chmod -R a+rX \"$GNUPGHOME\"\n";

/// A profile, and no ebuild.
const SNAPSHOT: [(&str, &str); 7] = [
    ("metadata/layout.conf", "masters =\nprofile-formats = portage-2\n"),
    ("profiles/repo_name", "gentoo\n"),
    ("profiles/categories", "app-misc\napp-portage\napp-shells\nsys-apps\nsys-kernel\n"),
    ("profiles/arch.list", "amd64\n"),
    ("profiles/profiles.desc", "amd64 tiny stable\n"),
    ("profiles/tiny/eapi", "8\n"),
    (
        "profiles/tiny/make.defaults",
        "ARCH=\"amd64\"\nACCEPT_KEYWORDS=\"amd64\"\nCHOST=\"x86_64-pc-linux-gnu\"\nKERNEL=\"linux\"\n\
        ELIBC=\"glibc\"\nUSERLAND=\"GNU\"\nIUSE_IMPLICIT=\"\"\n",
    ),
];

/// Gentoo, and the repository that both ways install from.
pub fn gentoo() -> (Small, Rc<Repository>) {
    let mut repository = Repository::new();
    repository.wants_of_host = "";
    let mirror = repository.dir.join("mirror");
    let url = serve(mirror.clone());
    fs::remove_dir_all(repository.dir.join("trees")).unwrap();
    let snapshots = Gpg::of(&repository.dir, "snapshots", SNAPSHOTS_BY);
    snapshot(&mirror.join("snapshots"), &snapshots);
    let keys = repository.dir.join("keys.asc");
    let both = [&repository.gpg, &snapshots].map(|gpg| must(gpg.gpg().args(["--armor", "--export"])));
    fs::write(&keys, both.concat()).unwrap();

    repository.package("sys-apps/baselayout", "", "", |tree| {
        roots::system(tree, "gentoo");
        put(
            tree,
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nportage:x:250:250::/var/lib/portage/home:/bin/false\n\
            nobody:x:65534:65534::/var/empty:/bin/false\n",
            0o644,
        );
        put(
            tree,
            "etc/group",
            "root:x:0:\naudio:x:63:\nportage:x:250:portage\nnogroup:x:65533:\nnobody:x:65534:\n",
            0o644,
        );
    });
    // One package, for their libraries lie where they lie here: two cannot have the same ones.
    repository.package("sys-apps/portage", "sys-apps/baselayout", "", |tree| {
        roots::debian(tree, &TOOLS);
        programs(tree, &ACCOUNTS);
        programs(tree, &["/usr/bin/xz", "/usr/bin/zstd", "/usr/bin/bzip2"]);
        put(tree, "usr/bin/busybox", fs::read("/bin/busybox").unwrap(), 0o755);
        for name in ["sh", "awk", "gzip", "wget"] {
            let _ = symlink("busybox", tree.join("usr/bin").join(name));
        }
        roots::more_of_busybox(tree);
        portage(tree, &url);
        put(tree, "usr/bin/getuto", GETUTO, 0o755);
        put(tree, "usr/share/openpgp-keys/gentoo-release.asc", fs::read(&keys).unwrap(), 0o644);
    });
    for name in ["sys-apps/busybox", "sys-apps/coreutils", "sys-apps/shadow", "app-shells/bash"] {
        repository.package(name, "sys-apps/portage", "", |_| {});
    }
    repository.package("sys-apps/openrc", "sys-apps/portage", "", |tree| {
        roots::rc_update(tree);
        for service in ["hostname", "sysctl"] {
            put(tree, &format!("etc/init.d/{service}"), "#!/sbin/openrc-run\n", 0o755);
        }
    });
    repository.package("app-misc/hello", "sys-apps/portage", "", |tree| roots::hello(tree, Init::Openrc));
    repository.index();
    let mirrors = repository.mirrors();
    let repository = Rc::new(repository);
    let small =
        Small::new(("gentoo", "rolling"), "app-misc/hello", &mirrors, (repository.clone(), snapshots));
    (small, repository)
}

/// Portage of this host, and what a stage3 says of where packages come from.
fn portage(tree: &Path, url: &str) {
    let home = tree.join("usr/lib/portage");
    must(command("cp").arg("-r").arg("/usr/local/lib/portage").arg(&home));
    for unread in ["doc", "man", "src", "testpath"] {
        let _ = fs::remove_dir_all(home.join(unread));
    }
    for program in ["emerge", "emerge-webrsync", "env-update", "portageq"] {
        symlink(format!("../lib/portage/bin/{program}"), tree.join("usr/bin").join(program)).unwrap();
    }
    fs::create_dir_all(tree.join("usr/share/portage")).unwrap();
    symlink("../../lib/portage/cnf", tree.join("usr/share/portage/config")).unwrap();
    let _ = symlink("python3", tree.join("usr/bin/python"));
    let make_conf = format!(
        "GENTOO_MIRRORS=\"{url}\"\nFETCHCOMMAND=\"/usr/bin/busybox wget -q -O \\\"\\${{DISTDIR}}/\\${{FILE}}\\\" \\\"\\${{URI}}\\\"\"\n\
        RESUMECOMMAND=\"${{FETCHCOMMAND}}\"\n"
    );
    put(tree, "etc/portage/make.conf", make_conf, 0o644);
    let binhost = format!("[binhost]\npriority = 9999\nsync-uri = {url}/{COMPONENT}\n");
    put(tree, "etc/portage/binrepos.conf/gentoobinhost.conf", binhost, 0o644);
    symlink("../../var/db/repos/gentoo/profiles/tiny", tree.join("etc/portage/make.profile")).unwrap();
    for folder in
        ["var/cache/binpkgs", "var/cache/distfiles", "var/db/repos/gentoo", "var/lib/portage", "var/empty"]
    {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
}

/// A day's snapshot of the repository, as Gentoo's mirrors have it: `gentoo-DAY.tar.xz`, its
/// MD5 and its signature.
fn snapshot(folder: &Path, gpg: &Gpg) {
    let date =
        |form: &str| must(command("date").args(["--utc", "--date", "2 days ago", form])).trim().to_owned();
    let name = format!("gentoo-{}", date("+%Y%m%d"));
    let tree = folder.join(&name);
    SNAPSHOT.iter().for_each(|(path, text)| put(&tree, path, text, 0o644));
    put(&tree, "metadata/timestamp.x", format!("{} of a test\n", date("+%s")), 0o644);
    let file = folder.join(format!("{name}.tar.xz"));
    must(command("tar").arg("-C").arg(folder).arg("-cJf").arg(&file).arg(&name));
    let sum = must(command("md5sum").arg(&file));
    fs::write(folder.join(format!("{name}.tar.xz.md5sum")), sum).unwrap();
    let signature = folder.join(format!("{name}.tar.xz.gpgsig"));
    must(gpg.gpg().arg("--output").arg(signature).arg("--detach-sign").arg(&file));
    fs::remove_dir_all(tree).unwrap();
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
}
