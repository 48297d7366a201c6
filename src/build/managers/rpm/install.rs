//! Installs package files with rpm itself, in one transaction, without network.
//!
//! dnf and zypper do the same in the end; what they add are their histories and caches, which
//! say when and where something was installed. rpm takes the time of the transaction from
//! `SOURCE_DATE_EPOCH`, so that its database is the same wherever it is written.

use super::{DATABASE, RPM, keys};
use crate::build::managers::{Installation, outside, refusals};
use crate::effects::Output;
use crate::effects::sandbox::TOOL_ROOT;
use crate::model::failure::IoContext;
use crate::model::{ErrorCode, Failure, FailureClass, Result};

/// Where the package files are seen.
const FILES: &str = "/run/packages";
/// Where rpm looks for keys: below the root, where nothing of it stays.
const KEYS: &str = "/run/keys";
/// What Debian's rpm says at every installation.
const DEBIANS: [&str; 2] = ["rpm: RPM should not be used", "rpm: However assuming"];

/// Turns an empty root into one with all packages installed.
pub(super) fn bootstrap(it: &Installation<'_>) -> Result<()> {
    outside::begin_root(it.sandbox.upper())?;
    let database = it.sandbox.upper().join(DATABASE);
    std::fs::create_dir_all(&database).during(|| format!("making {}", database.display()))?;
    install(it)
}

/// Installs packages over the layers below.
pub(super) fn install(it: &Installation<'_>) -> Result<()> {
    outside::need("rpm")?;
    let folder = it.work.join("keys");
    for (i, keyring) in it.keyrings.iter().enumerate() {
        let bytes = std::fs::read(keyring).map_err(|e| {
            Failure::io(format!("reading the keyring {keyring}"), &e)
                .hint("Set `keyring:` of the mirror in bootwright.yaml to the keys you trust.")
        })?;
        keys::write(&bytes, &folder, i)?;
    }
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    let output = it
        .sandbox
        .clone()
        .bind(it.files, FILES)
        .bind(&folder, format!("{TOOL_ROOT}{KEYS}"))
        .tool(RPM)?
        .args(arguments(it.packages.len()))
        .log_to(it.events, "rpm")
        .timeout(outside::TIME_LIMIT)
        .run(it.cancel)?;
    if !output.status.success() {
        return Err(classify(&output));
    }
    // rpm goes on after a script of an installed package failed, as dnf and zypper do.
    for line in output.errors().lines().filter(|line| line.contains("scriptlet failed")) {
        it.events.warn(line.to_owned());
    }
    Ok(())
}

/// The name of the `i`th package's file.
pub(super) fn file_name(i: usize) -> String {
    format!("{i:04}.rpm")
}

/// Only signed packages, only by the keys that are shown; the database has rpm's own form.
fn arguments(count: usize) -> Vec<String> {
    let database = format!("/{DATABASE}");
    let keys = format!("_keyringpath {KEYS}");
    let fixed = [
        "--root",
        TOOL_ROOT,
        "--dbpath",
        &database,
        "--define",
        "_keyring fs",
        "--define",
        &keys,
        "--define",
        "_pkgverify_level all",
        "--define",
        "_db_backend sqlite",
        "--noplugins",
        "--install",
        "--verbose",
    ];
    let files = (0..count).map(|i| format!("{FILES}/{}", file_name(i)));
    fixed.into_iter().map(str::to_owned).chain(files).collect()
}

fn classify(output: &Output) -> Failure {
    let errors = output.errors();
    let lines: Vec<&str> = errors
        .lines()
        .filter(|line| !DEBIANS.iter().any(|own| line.starts_with(own)))
        .map(str::trim)
        .collect();
    let details = refusals::last_lines(lines.iter().copied());
    if output.host_trouble().is_some() {
        return output.failure().details(details);
    }
    if lines.iter().any(|line| line.contains("does not verify") || line.contains("BAD")) {
        return refusals::untrusted().details(details);
    }
    if lines.iter().any(|line| line.contains("Failed dependencies") || line.contains("conflicts with file")) {
        return Failure::new(
            ErrorCode::Compat,
            FailureClass::Spec,
            "the locked packages cannot be installed together",
        )
        .details(details)
        .hint("Run `bootwright lock --update`, or remove one of the packages that rpm names.");
    }
    Failure::new(ErrorCode::BuildStep, FailureClass::Upstream, "the packages could not be installed")
        .details(details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn said(errors: &str) -> Failure {
        classify(&Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: Vec::new(),
            stderr: errors.as_bytes().to_vec(),
            program: "rpm".to_owned(),
        })
    }

    /// What rpm 4.18 of Debian 12 says.
    #[test]
    fn says_what_is_wrong_with_a_package() {
        let debian = "rpm: RPM should not be used directly install RPM packages, use Alien instead!\n";
        let unsigned = said(&format!("{debian}\tpackage plain-2:1-1.x86_64 does not verify: no signature\n"));
        assert_eq!(unsigned.code, ErrorCode::Untrusted);
        assert_eq!(unsigned.details.unwrap(), "package plain-2:1-1.x86_64 does not verify: no signature");
        let changed =
            said("error: /run/packages/0002.rpm: region trailer: BAD, tag 88 type 7 offset 816 count 16\n");
        assert_eq!(changed.code, ErrorCode::Untrusted);
        let missing = said("error: Failed dependencies:\n\tnowhere >= 2 is needed by broken-1-1.x86_64\n");
        assert_eq!((missing.class, missing.code), (FailureClass::Spec, ErrorCode::Compat));
        assert_eq!(said("error: lua script failed\n").class, FailureClass::Upstream);
    }

    #[test]
    fn every_signature_counts() {
        let arguments = arguments(2);
        assert!(arguments.iter().any(|a| a == "_pkgverify_level all"));
        assert!(arguments.iter().any(|a| a == "_keyring fs"));
        assert_eq!(arguments.last().unwrap(), "/run/packages/0001.rpm");
        assert!(!arguments.iter().any(|a| a.starts_with("--no") && a != "--noplugins" || a == "--force"));
    }
}
