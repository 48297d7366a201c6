//! Installs missing Debian packages with apt-get, asking nothing.
//!
//! Debian 12 has a trap: its QEMU conflicts with files of an already installed newer one
//! from backports. So each package is tried out first (`--simulate` changes nothing) and
//! taken from backports where only those fit.

use crate::effects::{Process, Task};
use crate::model::event::Unit;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use crate::ops::Context;
use std::collections::BTreeMap;
use std::time::Duration;

/// A mirror may be slow, a download large.
const PATIENCE: Duration = Duration::from_mins(30);

pub(super) fn install(context: &Context, packages: &[String]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(
            ErrorCode::Permission,
            FailureClass::Host,
            format!("installing {} needs root", packages.join(", ")),
        )
        .hint("Run `bootwright doctor --install` as root."));
    }
    if context.offline {
        return Err(Failure::offline(format!("{} cannot be installed without network", packages.join(", ")))
            .hint("Run `bootwright doctor --install` with network."));
    }
    let task = Task::start(&context.events, "reading the package lists");
    apt(context).arg("update").check(&context.cancel).map_err(|f| explain(f, "reading the package lists"))?;
    task.finish("done");

    let backports = backports(context)?;
    let mut by_source: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for package in packages {
        by_source.entry(source_of(context, package, backports.as_deref())?).or_default().push(package);
    }
    let task = Task::with_total(&context.events, "installing", Some(packages.len() as u64), Unit::Items);
    for (source, packages) in by_source {
        let names = packages.join(" ");
        install_command(context, source, false, &packages)
            .check(&context.cancel)
            .map_err(|f| explain(f, &format!("installing {names}")))?;
        task.advance(packages.len() as u64);
    }
    task.finish(packages.join(" "));
    Ok(())
}

fn apt(context: &Context) -> Process {
    Process::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("HOME", "/root")
        .args(["-q", "-o", "DPkg::Lock::Timeout=600"])
        .timeout(PATIENCE)
        .log_to(&context.events, "apt-get")
}

fn install_command(context: &Context, source: Option<&str>, simulate: bool, packages: &[&str]) -> Process {
    let mut process = apt(context).args(["install", "--yes", "--no-install-recommends"]);
    if let Some(suite) = source {
        process = process.args(["--target-release", suite]);
    }
    if simulate {
        process = process.arg("--simulate");
    }
    process.arg("--").args(packages)
}

/// From which suite a package can be installed here: none means the ordinary ones.
fn source_of<'a>(context: &Context, package: &str, backports: Option<&'a str>) -> Result<Option<&'a str>> {
    let can = |source: Option<&str>| -> Result<bool> {
        let trial = install_command(context, source, true, &[package]);
        Ok(trial.run(&context.cancel)?.status.success())
    };
    if can(None)? {
        return Ok(None);
    }
    match backports {
        Some(suite) if can(Some(suite))? => Ok(Some(suite)),
        // Installing it will fail, with apt's own words for why.
        _ => Ok(None),
    }
}

/// The backports suite that this host's package configuration has, if any.
fn backports(context: &Context) -> Result<Option<String>> {
    let output = Process::new("apt-cache").arg("policy").check(&context.cancel)?;
    Ok(backports_in(&output.text()))
}

/// Finds a suite of that kind in what `apt-cache policy` says.
fn backports_in(policy: &str) -> Option<String> {
    let suites = policy.lines().filter(|l| l.trim_start().starts_with("release "));
    suites
        .flat_map(|line| line.split([',', ' ']))
        .filter_map(|part| part.strip_prefix("n="))
        .find(|name| name.ends_with("-backports"))
        .map(str::to_owned)
}

fn explain(failure: Failure, doing: &str) -> Failure {
    if failure.class == FailureClass::Cancelled {
        return failure;
    }
    let details = failure.details.clone().unwrap_or_default();
    let failure = failure.on(doing);
    if details.contains("Failed to fetch") || details.contains("Temporary failure resolving") {
        Failure { class: FailureClass::Upstream, code: ErrorCode::Network, ..failure }
            .hint("Check the network and the host's package sources, then try again.")
    } else {
        Failure { class: FailureClass::Host, code: ErrorCode::BuildEnvironment, ..failure }
            .hint("Install the packages by hand to see what stands in the way.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backports_are_found_in_the_policy() {
        // From `apt-cache policy`, addresses replaced.
        let policy = "Package files:\n 100 http://mirror bookworm-backports/main amd64 Packages\n     \
             release o=Debian Backports,a=stable-backports,n=bookworm-backports,l=Debian Backports,c=main,b=amd64\n     \
             origin mirror\n 500 http://mirror bookworm/main amd64 Packages\n     \
             release v=12.11,o=Debian,a=stable,n=bookworm,l=Debian,c=main,b=amd64\n";
        assert_eq!(backports_in(policy).as_deref(), Some("bookworm-backports"));
        assert_eq!(backports_in("     release v=12.11,o=Debian,a=stable,n=bookworm,l=Debian\n"), None);
        assert_eq!(backports_in(""), None);
    }

    /// Asks the real apt, which changes nothing with `--simulate`.
    #[test]
    fn packages_are_tried_out_before_a_source_is_chosen() {
        let context = Context::default();
        assert_eq!(source_of(&context, "dpkg", None).unwrap(), None);
        assert_eq!(source_of(&context, "no-such-package-at-all", Some("no-such-suite")).unwrap(), None);
        let trial = install_command(&context, None, true, &["no-such-package-at-all"]).run(&context.cancel);
        assert!(trial.unwrap().errors().contains("Unable to locate package"));
    }

    #[test]
    fn a_network_failure_is_the_networks() {
        let failure = Failure::bug("apt-get failed").details("E: Failed to fetch http://x  404  Not Found");
        let failure = explain(failure, "installing xorriso");
        assert_eq!(failure.class, FailureClass::Upstream);
        assert!(failure.message.starts_with("installing xorriso: "));
        assert_eq!(explain(Failure::bug("x"), "y").class, FailureClass::Host);
        assert_eq!(explain(Failure::cancelled(), "y").class, FailureClass::Cancelled);
    }
}
