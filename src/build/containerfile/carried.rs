//! A [`Plan`] as instructions: what the configuration layer does in a root, in the same order.
//!
//! Files of the plan lie in the context under `root/` and are copied with owner and mode said
//! in the text: what a checkout or a umask did to them does not count. The overlay goes in as
//! an archive without folders: copied as a folder it would put `bin/` in the place of the
//! link `/bin`, and that is the end of a system.

use super::{Rendered, word};
use crate::build::root_files::{self, Entry};
use crate::configure::{self, File, FileContent, Phase, Plan, Program, Step};
use crate::model::catalog::{ImageDocument, OverlayContent, OverlayEntry};
use crate::model::spec::Init;
use crate::model::{Failure, Result};
use crate::resolve;
use std::collections::BTreeMap;

/// The archive of the overlay, in the context.
const OVERLAY: &str = "overlay.tar";
/// The archive of what shells load.
const SHELL: &str = "shell.tar";

/// Everything that the settings become, but what is switched on last.
pub(super) fn configuration(plan: &Plan, init: Init, out: &mut Rendered) -> Result<()> {
    plan.phases(init).iter().try_for_each(|phase| carried(phase, out))
}

fn carried(phase: &Phase<'_>, out: &mut Rendered) -> Result<()> {
    out.stage(&format!("Configuration: {}", phase.title));
    // Programs that follow each other are one instruction.
    let mut programs: Vec<&Program> = Vec::new();
    for step in &phase.steps {
        match step {
            Step::Run(program) if program.asks_kernel => {
                out.comment(&format!(
                    "Left to the system's start, who builds may not ask the kernel: {}.",
                    program.what
                ));
            }
            Step::Run(program) => programs.push(program),
            Step::Write(files) => {
                run(&std::mem::take(&mut programs), out)?;
                write(files, out)?;
            }
            Step::Password { of, hash } => {
                run(&std::mem::take(&mut programs), out)?;
                // A file, not an argument: a command line stays in the image's history.
                let file = format!("accounts/{of}");
                out.file(&file, 0o600, format!("{of}:{hash}\n"));
                out.run_with(
                    &file,
                    "/run/account",
                    &["/usr/sbin/chpasswd --encrypted < /run/account".to_owned()],
                );
            }
        }
    }
    run(&programs, out)
}

/// Services that the overlay or a script brought, switched on once they are there.
pub(super) fn later(plan: &Plan, init: Init, out: &mut Rendered) -> Result<()> {
    let steps = plan.later_steps(init);
    run(&steps.iter().map(|(_, program)| program).collect::<Vec<_>>(), out)
}

fn run(programs: &[&Program], out: &mut Rendered) -> Result<()> {
    if programs.is_empty() {
        return Ok(());
    }
    let mut folders: Vec<&str> = programs.iter().flat_map(|p| &p.folders).map(String::as_str).collect();
    folders.sort_unstable();
    folders.dedup();
    let commands = programs.iter().map(|program| command(program)).collect::<Result<Vec<String>>>()?;
    out.run_in(&folders, &commands);
    Ok(())
}

fn command(program: &Program) -> Result<String> {
    let words = || std::iter::once(&program.path).chain(&program.args);
    // Quotes hold everything but the end of a line: what comes after it would be an instruction.
    if let Some(bad) = words().find(|word| word.contains(char::is_control)) {
        return Err(Failure::spec(format!("{}: {bad:?} cannot stand in a Containerfile", program.what))
            .hint("Write it on one line, without control characters."));
    }
    Ok(words().map(|text| word(text)).collect::<Vec<_>>().join(" "))
}

/// One instruction for the files of one folder that have the same mode; links are made.
fn write(files: &[&File], out: &mut Rendered) -> Result<()> {
    let mut copied: BTreeMap<(&str, u32), Vec<&str>> = BTreeMap::new();
    let mut links: Vec<Program> = Vec::new();
    for file in files {
        let folder = folder(&file.path)?;
        match &file.content {
            FileContent::Bytes { mode, bytes } => {
                out.file(&format!("root/{}", file.path), *mode, bytes.clone());
                copied.entry((folder, *mode)).or_default().push(&file.path);
            }
            FileContent::Link { target } => {
                links.push(Program::new("making a folder", "mkdir", &["-p", &format!("/{folder}")]));
                let args = ["-sfn", target, &format!("/{}", file.path)];
                links.push(Program::new("making a link", "ln", &args));
            }
        }
    }
    for ((folder, mode), paths) in copied {
        let from: String = paths.iter().map(|path| format!(" \\\n    root/{path}")).collect();
        out.line(&format!("COPY --chown=0:0 --chmod={mode:04o}{from} \\\n    /{folder}"));
    }
    run(&links.iter().collect::<Vec<_>>(), out)
}

/// The folder of a file, with a slash at its end. Paths stand in instructions, where some
/// letters are patterns and variables.
fn folder(path: &str) -> Result<&str> {
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+@-".contains(&b));
    let inside = !path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | ".."));
    match path.rfind('/') {
        _ if !(plain && inside) => Err(Failure::spec(format!("{path:?} cannot stand in a Containerfile"))
            .hint("Use letters, digits and . _ + @ - in the names that become files.")),
        Some(at) => Ok(&path[..=at]),
        None => Ok(""),
    }
}

/// The overlay of the catalog; whatever its names hold, they stay inside of an archive.
pub(super) fn overlay(document: &ImageDocument, out: &mut Rendered) -> Result<()> {
    if document.overlay.is_empty() {
        return Ok(());
    }
    out.stage("Overlay");
    out.comment(
        "The catalog's own files: an archive, so that folders and links of the root stay as they are.",
    );
    let entries = document.overlay.iter().map(|entry| laid(entry, entry.path.clone(), mode));
    archive(OVERLAY, entries.collect(), out)
}

/// What shells load and no package brings, where a package would have put it.
pub(super) fn shell(document: &ImageDocument, out: &mut Rendered) -> Result<()> {
    let found = resolve::shell_files(document)?;
    let mut entries = Vec::new();
    for (folder, files) in &found {
        entries.extend(files.iter().map(|entry| laid(entry, format!("{folder}{}", entry.path), mode)));
    }
    if entries.is_empty() {
        return Ok(());
    }
    out.stage("Shells");
    out.comment("What users' shells load, from the sources that the spec pins.");
    archive(SHELL, entries, out)
}

/// Users' own settings. What the configuration wrote into a home gives way to them.
pub(super) fn dotfiles(document: &ImageDocument, out: &mut Rendered) -> Result<()> {
    let Some((users, files)) = resolve::dotfiles(document)? else { return Ok(()) };
    out.stage("Dotfiles");
    let paths: Vec<&str> = files.iter().map(|entry| entry.path.as_str()).collect();
    for user in &users {
        let entries = files
            .iter()
            .map(|entry| laid(entry, format!("home/{user}/{}", entry.path), configure::dotfile_mode));
        archive(&format!("dotfiles/{user}.tar"), entries.collect(), out)?;
        // One instruction each: together they would be a command that is too long.
        configure::dotfiles_given(user, &paths).iter().try_for_each(|program| run(&[program], out))?;
    }
    Ok(())
}

/// The mode of a file that git keeps.
fn mode(_path: &str, executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

/// An entry of the catalog at a path of the root.
fn laid(entry: &OverlayEntry, at: String, mode: impl Fn(&str, bool) -> u32) -> Entry {
    match &entry.content {
        OverlayContent::File { bytes, executable } => {
            Entry::file(&at, mode(&entry.path, *executable), bytes.to_vec())
        }
        OverlayContent::Symlink { target } => Entry::symlink(&at, target),
    }
}

/// Files of the context that an engine unpacks into the root: those of root, without folders.
fn archive(name: &str, entries: Vec<Entry>, out: &mut Rendered) -> Result<()> {
    out.file(name, 0o644, root_files::archive(&entries, 0)?);
    out.line(&format!("ADD --chown=0:0 {name} /"));
    Ok(())
}

/// Scripts that have the last word.
pub(super) fn scripts(document: &ImageDocument, out: &mut Rendered) -> Result<()> {
    for (index, script) in document.spec.spec.post_install.scripts.iter().enumerate() {
        let Some(bytes) = document.files.get(script) else {
            return Err(Failure::spec(format!(
                "spec.postInstall.scripts[{index}]: {script} is not in the catalog"
            )));
        };
        let file = format!("scripts/{index:02}");
        out.file(&file, 0o755, bytes.to_vec());
        out.run_with(&file, "/run/script", &["DEBIAN_FRONTEND=noninteractive /run/script".to_owned()]);
    }
    Ok(())
}
