//! zypper as a solver: what it is told, and what its answers mean (man zypper, "--xmlout").

use super::lock::{Asking, Repository, STATE, Solver};
use super::metadata::Chosen;
use super::{DATABASE, RPM};
use crate::build::managers::refusals;
use crate::effects::sandbox::TOOL_ROOT;
use crate::effects::{Output, Process};
use crate::model::failure::IoContext;
use crate::model::name::PackageName;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};
use std::path::PathBuf;

/// openSUSE's solver.
pub(super) struct Zypper;

const PROGRAM: &str = "/usr/bin/zypper";
/// Where zypper keeps its metadata in the root that it is asked about.
const CACHE: &str = "var/cache/zypp";
const DEFINITIONS: &str = "etc/zypp/repos.d";

fn definition(i: usize, repository: &Repository) -> String {
    format!(
        "[r{i}]\nname=r{i}\nbaseurl={}\nenabled=1\nautorefresh=0\ntype=rpm-md\n\
        gpgcheck=1\nrepo_gpgcheck=1\npkg_gpgcheck=1\n",
        repository.url
    )
}

impl Solver for Zypper {
    fn program(&self) -> &'static str {
        "zypper"
    }

    fn prepare(&self, asking: &Asking<'_>) -> Result<()> {
        let cache = asking.folder.join("cache");
        let root = asking.sandbox.upper();
        for folder in [&cache, &root.join(DEFINITIONS), &root.join(DATABASE)] {
            std::fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
        }
        for (i, repository) in asking.repositories.iter().enumerate() {
            let path = root.join(DEFINITIONS).join(format!("r{i}.repo"));
            std::fs::write(&path, definition(i, repository))
                .during(|| format!("writing {}", path.display()))?;
        }
        // zypper trusts what is in the root's own package database, and asks for the rest.
        let mut keys: Vec<&String> = asking.repositories.iter().flat_map(|r| &r.keys).collect();
        keys.sort();
        keys.dedup();
        let import = asking
            .sandbox
            .tool(RPM)?
            .args(["--root", TOOL_ROOT, "--dbpath", &format!("/{DATABASE}"), "--import"])
            .args(keys.iter().map(|key| format!("{STATE}/keys/{key}")));
        let output = asking.run(import)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::spec("a key of a mirror's keyring cannot be used").details(output.tail()))
    }

    fn refresh(&self, asking: &Asking<'_>) -> Result<()> {
        let output = self.run(asking, |zypper| zypper.arg("refresh"))?;
        if output.status.success() { Ok(()) } else { Err(classify_refresh(&output)) }
    }

    fn metadata(&self, asking: &Asking<'_>, i: usize) -> Result<Option<PathBuf>> {
        let folder = asking.folder.join(format!("cache/raw/r{i}"));
        Ok(folder.join("repodata").is_dir().then_some(folder))
    }

    fn solve(
        &self,
        asking: &Asking<'_>,
        below: &[Chosen],
        names: &[&PackageName],
        layer: &str,
    ) -> Result<Vec<Chosen>> {
        let output = self.run(asking, |zypper| {
            zypper
                .args(["--no-refresh", "install", "--dry-run", "--no-recommends"])
                .args(["--auto-agree-with-licenses", "--"])
                .args(below.iter().map(|p| format!("{}.{}={}", p.name, p.architecture, p.version)))
                .args(names.iter().map(|name| name.as_str()))
        })?;
        if !output.status.success() {
            return Err(classify_solve(&output, layer));
        }
        parse(&output.text())
    }
}

impl Zypper {
    fn run(&self, asking: &Asking<'_>, args: impl FnOnce(Process) -> Process) -> Result<Output> {
        let sandbox = asking
            .sandbox
            .clone()
            .bind_writable(asking.folder.join("cache"), format!("{TOOL_ROOT}/{CACHE}"))
            .env("ZYPP_LOCKFILE_ROOT", TOOL_ROOT);
        let zypper = sandbox.tool(PROGRAM)?.args(["--root", TOOL_ROOT, "--non-interactive", "--xmlout"]);
        asking.run(args(zypper))
    }
}

/// The `solvable` elements within `to-install`.
fn parse(text: &str) -> Result<Vec<Chosen>> {
    let bad = |e: String| Failure::bug(format!("zypper's answer cannot be read: {e}"));
    let mut reader = Reader::from_str(text);
    let (mut chosen, mut is_installed) = (Vec::new(), false);
    loop {
        match reader.read_event().map_err(|e| bad(e.to_string()))? {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == b"solvable" && is_installed => {
                let value = |name: &str| -> Result<String> {
                    let found = tag.try_get_attribute(name).map_err(|e| bad(e.to_string()))?;
                    let value = found.map(|a| a.normalized_value(XmlVersion::Implicit1_0)).transpose();
                    Ok(value.map_err(|e| bad(e.to_string()))?.unwrap_or_default().into_owned())
                };
                if value("type")? == "package" {
                    chosen.push(Chosen {
                        name: value("name")?,
                        version: value("edition")?,
                        architecture: value("arch")?,
                    });
                }
            }
            Event::Start(tag) if tag.name().as_ref() == b"to-install" => is_installed = true,
            Event::End(tag) if tag.name().as_ref() == b"to-install" => is_installed = false,
            Event::Eof => return Ok(chosen),
            _ => {}
        }
    }
}

/// Its messages, without the elements around them.
fn said(text: &str) -> String {
    let text = text.replace("&apos;", "'").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&");
    let lines = text.lines().filter(|line| !line.starts_with("<progress") && !line.starts_with("<option"));
    let plain = lines.map(|line| {
        let line = line.split_once('>').filter(|_| line.starts_with('<')).map_or(line, |(_, rest)| rest);
        line.split("</").next().unwrap_or_default()
    });
    plain.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

fn classify_refresh(output: &Output) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure().on("fetching package indexes");
    }
    let said = said(&output.text());
    let signs = ["Signature verification failed", "is unsigned", "unknown key", "wrong checksum"];
    super::lock::refresh_failure(signs.iter().any(|sign| said.contains(sign))).details(tail(&said))
}

fn classify_solve(output: &Output, layer: &str) -> Failure {
    if output.host_trouble().is_some() {
        return output.failure();
    }
    let said = said(&output.text());
    let named =
        |line: &str| Some(line.strip_prefix("No provider of '")?.strip_suffix("' found.")?.to_owned());
    if let Some(name) = said.lines().find_map(named) {
        return refusals::unavailable(&name, layer);
    }
    match said.lines().position(|line| line.starts_with("Problem")) {
        Some(from) => {
            let lines: Vec<&str> = said.lines().skip(from).take_while(|l| !l.starts_with("Choose")).collect();
            refusals::conflict(layer).details(lines.join("\n"))
        }
        None => Failure::new(
            ErrorCode::Internal,
            FailureClass::Bug,
            format!("zypper could not resolve layer {layer}"),
        )
        .details(format!("{}\n{}", tail(&said), output.errors())),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `zypper --xmlout install --dry-run`, zypper 1.14.42, shortened.
    const ANSWER: &str = r#"<?xml version='1.0'?>
<stream>
<message type="info">Resolving package dependencies...</message>
<install-summary download-size="1098885" packages-to-change="2">
<to-install>
<solvable type="package" name="busybox" edition="1.35-1" arch="x86_64" summary="a &quot;b&quot;">
<description>synthetic</description></solvable>
<solvable type="package" name="plain" edition="2:1-1" arch="noarch"/>
<solvable type="pattern" name="base" edition="1-1" arch="noarch"/>
</to-install>
<to-remove><solvable type="package" name="old" edition="1-1" arch="noarch"/></to-remove>
</install-summary>
<prompt id="0">
<text>Continue?</text>
<option default="1" value="y" desc="Yes"/>
</prompt></stream>"#;

    #[test]
    fn reads_what_zypper_prints() {
        let chosen = parse(ANSWER).unwrap();
        let names: Vec<&str> = chosen.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["busybox", "plain"]);
        assert_eq!(chosen[1].version, "2:1-1");
        assert!(parse("<stream><to-install>").unwrap().is_empty());
        assert!(parse("<stream></oops>").is_err());
    }

    #[test]
    fn messages_are_read_without_their_elements() {
        let text = "<message type=\"error\">No provider of &apos;nope&apos; found.</message>\n\
            <progress id=\"1\" value=\"0\"/>\n<description>Problem: nothing provides nowhere &gt;= 2\n Solution 1: x\n</description>";
        assert_eq!(
            said(text),
            "No provider of 'nope' found.\nProblem: nothing provides nowhere >= 2\n Solution 1: x"
        );
    }
}
