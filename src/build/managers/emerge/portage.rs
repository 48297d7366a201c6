//! Portage without a Gentoo around it: its configuration, and how it is called.
//!
//! Portage reads its profile and repository from files. There is no ebuild here: the repository
//! has nothing but what portage cannot do without, and all packages are binary.

use super::binhost::keyword;
use crate::build::managers::outside;
use crate::effects::process::find_tool;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Process, Sandbox};
use crate::model::failure::IoContext;
use crate::model::spec::Architecture;
use crate::model::{Failure, Result};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where portage sees the folder of its configuration.
pub(super) const HOME: &str = "/run/portage";
/// Where it sees the GnuPG home with the keys that count.
pub(super) const KEYS: &str = "/run/keys";

/// What portage may do: no build, no sandboxes of its own, no other user, no news. Every package
/// must be signed.
const FEATURES: &str = "-sandbox -usersandbox -userpriv -userfetch -usersync -news -ipc-sandbox \
    -network-sandbox -pid-sandbox -mount-sandbox -merge-sync -merge-wait -xattr -parallel-fetch \
    -preserve-libs -pkgdir-index-trusted binpkg-request-signature binpkg-multi-instance";

/// Writes the configuration into a folder that portage sees as [`HOME`].
pub(super) fn configure(
    folder: &Path,
    architecture: Architecture,
    categories: &BTreeSet<&str>,
    binhost: Option<&str>,
) -> Result<()> {
    let write = |path: &str, text: String| -> Result<()> {
        let path = folder.join(path);
        let parent = crate::effects::files::parent(&path);
        std::fs::create_dir_all(parent).during(|| format!("making {}", parent.display()))?;
        std::fs::write(&path, text).during(|| format!("writing {}", path.display()))
    };
    let (word, machine) = (keyword(architecture), architecture.as_str());
    let lines: Vec<&str> = categories.iter().copied().collect();
    write("repo/metadata/layout.conf", "masters =\nprofile-formats = portage-2\n".to_owned())?;
    write("repo/profiles/repo_name", "gentoo\n".to_owned())?;
    write("repo/profiles/categories", format!("{}\n", lines.join("\n")))?;
    write("repo/profiles/arch.list", format!("{word}\n"))?;
    write("repo/profiles/profiles.desc", format!("{word} bootwright stable\n"))?;
    write("repo/profiles/bootwright/eapi", "8\n".to_owned())?;
    write(
        "repo/profiles/bootwright/make.defaults",
        format!(
            "ARCH=\"{word}\"\nACCEPT_KEYWORDS=\"{word}\"\nCHOST=\"{machine}-pc-linux-gnu\"\nKERNEL=\"linux\"\n\
            ELIBC=\"glibc\"\nUSERLAND=\"GNU\"\nIUSE_IMPLICIT=\"\"\n"
        ),
    )?;
    write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n".to_owned())?;
    write("etc/group", "root:x:0:\n".to_owned())?;
    write(
        "etc/portage/repos.conf",
        format!("[DEFAULT]\nmain-repo = gentoo\n[gentoo]\nlocation = {HOME}/repo\n"),
    )?;
    write("etc/portage/make.conf", make_conf())?;
    if let Some(binhost) = binhost {
        write(
            "etc/portage/binrepos.conf",
            format!(
                "[bootwright]\nsync-uri = file://{binhost}\nlocation = {HOME}/fetched\nverify-signature = true\n"
            ),
        )?;
    }
    for name in ["tmp", "packages", "fetched", "distfiles"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).during(|| format!("making {}", path.display()))?;
    }
    let profile = folder.join("etc/portage/make.profile");
    symlink(format!("{HOME}/repo/profiles/bootwright"), &profile)
        .during(|| format!("writing {}", profile.display()))
}

fn make_conf() -> String {
    format!(
        "PORTAGE_TMPDIR=\"{HOME}/tmp\"\nPKGDIR=\"{HOME}/packages\"\nDISTDIR=\"{HOME}/distfiles\"\n\
        PORTAGE_USERNAME=\"root\"\nPORTAGE_GRPNAME=\"root\"\nPORTAGE_INST_UID=\"0\"\nPORTAGE_INST_GID=\"0\"\n\
        ACCEPT_LICENSE=\"*\"\nFEATURES=\"{FEATURES}\"\nBINPKG_FORMAT=\"gpkg\"\nPORTAGE_TRUST_HELPER=\"\"\n\
        PORTAGE_ELOG_SYSTEM=\"echo\"\nPORTAGE_ELOG_CLASSES=\"error\"\nCLEAN_DELAY=\"0\"\n\
        BINPKG_GPG_VERIFY_BASE_COMMAND=\"/usr/bin/gpg --verify --batch --no-tty --no-auto-check-trustdb \
        --status-fd 2 [PORTAGE_CONFIG] [SIGNATURE]\"\nBINPKG_GPG_VERIFY_GPG_HOME=\"{KEYS}\"\n\
        GPG_VERIFY_USER_DROP=\"\"\nGPG_VERIFY_GROUP_DROP=\"\"\n"
    )
}

/// A call of emerge on the root, with the configuration in `folder`.
///
/// # Errors
/// Class *host* if portage is not there.
pub(super) fn emerge(sandbox: &Sandbox, folder: &Path) -> Result<Process> {
    outside::need("emerge")?;
    let program = find_tool("emerge").and_then(|path| path.canonicalize().ok());
    let program = program.filter(|path| path.starts_with("/usr")).ok_or_else(|| {
        Failure::host("portage lies outside of /usr, where build steps do not see it")
            .hint("Unpack it into /usr/local/lib/portage; see docs/mirrors.md.")
    })?;
    let mut sandbox = sandbox
        .clone()
        .bind_writable(folder, HOME)
        .bind_writable(folder.join("keys"), KEYS)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONNOUSERSITE", "1")
        .env("NOCOLOR", "true");
    for name in ["passwd", "group", "portage"] {
        sandbox = sandbox.bind(folder.join("etc").join(name), format!("/etc/{name}"));
    }
    // By the interpreter's own name: Debian has no `python`.
    Ok(sandbox
        .tool("/usr/bin/python3")?
        .arg("-b")
        .arg(program)
        .args([format!("--root={TOOL_ROOT}"), "--color=n".to_owned(), "--nospinner".to_owned()])
        .timeout(outside::TIME_LIMIT))
}
