//! The configuration layer: carries a [`Plan`](configure::Plan) out in a root, with the root's own tools.

use super::root_files::{self, Entry};
use crate::configure::{self, File, FileContent, Program, Step};
use crate::effects::{Cancel, Sandbox};
use crate::model::name::UserName;
use crate::model::recipe::{Configuration, Recipe, ResolvedRecipe};
use crate::model::{Emitter, Failure, Result};

/// Writes the configuration into the root.
///
/// # Errors
/// Class *spec* when a setting does not fit the root (no such group, unit or locale).
pub fn apply(
    configuration: &Configuration,
    recipe: &Recipe,
    sandbox: &Sandbox,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let plan = configure::plan_of(recipe).ok_or_else(|| Failure::bug("the recipe has no configuration"))?;
    if plan.digest() != configuration.written {
        return Err(Failure::bug("the settings do not become what the recipe says"));
    }
    let root = Root { sandbox, events, cancel, epoch: recipe.epoch };
    let phases = plan.phases(configuration.init);
    phases.iter().flat_map(|phase| &phase.steps).try_for_each(|step| root.carry_out(step))
}

/// Writes what the live medium alone has, over a finished root.
///
/// # Errors
/// Class *spec* when a program of the root does not like what was written.
pub fn apply_live(
    resolved: &ResolvedRecipe,
    sandbox: &Sandbox,
    events: &Emitter,
    cancel: &Cancel,
) -> Result<()> {
    let Some(plan) = configure::plan_of(&resolved.recipe) else { return Ok(()) };
    let root = Root { sandbox, events, cancel, epoch: resolved.recipe.epoch };
    let mut entries: Vec<Entry> = plan.live.files.iter().map(entry).collect();
    for picture in &plan.live.pictures {
        let bytes = resolved.blobs.get(&picture.digest).ok_or_else(|| {
            Failure::bug(format!("the recipe names {} and nobody brought it", picture.digest))
        })?;
        entries.push(Entry::file(&picture.path, 0o644, bytes.to_vec()));
    }
    root_files::write(sandbox, &entries, root.epoch, cancel)?;
    plan.live.tests.iter().try_for_each(|program| root.run(program))
}

/// Switches on what the overlay or a script brought.
///
/// # Errors
/// Class *spec* when there is no such unit after all.
pub fn start_brought(recipe: &Recipe, sandbox: &Sandbox, events: &Emitter, cancel: &Cancel) -> Result<()> {
    let Some((plan, configuration)) = configure::plan_of(recipe).zip(recipe.configuration()) else {
        return Ok(());
    };
    let root = Root { sandbox, events, cancel, epoch: recipe.epoch };
    for (service, program) in plan.later_steps(configuration.init) {
        root.run(&program).map_err(|f| {
            f.hint(format!("See that the overlay or a script of `postInstall` brings {service}."))
        })?;
    }
    Ok(())
}

/// A root in which the plan is carried out.
struct Root<'a> {
    sandbox: &'a Sandbox,
    events: &'a Emitter,
    cancel: &'a Cancel,
    epoch: i64,
}

impl Root<'_> {
    fn carry_out(&self, step: &Step<'_>) -> Result<()> {
        match step {
            Step::Write(files) => self.files(files),
            Step::Run(program) => self.run_if_possible(program),
            Step::Password { of, hash } => self.password(of, hash),
        }
    }

    fn files(&self, files: &[&File]) -> Result<()> {
        let entries: Vec<Entry> = files.iter().map(|file| entry(file)).collect();
        root_files::write(self.sandbox, &entries, self.epoch, self.cancel)
    }

    fn run(&self, program: &Program) -> Result<()> {
        let mut sandbox = self.sandbox.clone();
        for folder in &program.folders {
            sandbox = sandbox.folder(folder);
        }
        let process = sandbox.process(&program.path)?.args(&program.args);
        let output = process.log_to(self.events, program.path.clone()).run(self.cancel)?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::spec(format!("{} failed", program.what)).details(output.tail()))
    }

    /// Runs a program, where that can be.
    fn run_if_possible(&self, program: &Program) -> Result<()> {
        if program.asks_kernel && self.sandbox.emulates() {
            self.events.warn(format!(
                "{} was left out: {} cannot be emulated; only the booted system shows it",
                program.what, program.path
            ));
            return Ok(());
        }
        self.run(program)
    }

    fn password(&self, of: &UserName, hash: &str) -> Result<()> {
        // On stdin: a command line can be read by everybody on the host.
        self.sandbox
            .process("/usr/sbin/chpasswd")?
            .arg("--encrypted")
            .stdin(format!("{of}:{hash}\n"))
            .check(self.cancel)
            .map(|_| ())
            .map_err(|f| Failure::spec(format!("setting the password of {of} failed")).details(f.message))
    }
}

fn entry(file: &File) -> Entry {
    match &file.content {
        FileContent::Bytes { mode, bytes } => Entry::file(&file.path, *mode, bytes.clone()),
        FileContent::Link { target } => Entry::symlink(&file.path, target),
    }
}
