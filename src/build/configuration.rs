//! The configuration layer: carries a [`Plan`] out in a root, with the root's own tools.

use super::root_files::{self, Entry};
use crate::configure::{self, Account, File, FileContent, Plan, Program};
use crate::effects::{Cancel, Sandbox};
use crate::model::recipe::{Configuration, Recipe, ResolvedRecipe};
use crate::model::spec::Init;
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
    let (of_root, of_users): (Vec<&File>, Vec<&File>) = plan.files.iter().partition(|f| f.owner.is_none());
    root.files(&of_root)?;
    plan.accounts.iter().try_for_each(|account| root.account(account))?;
    root.files_of_users(&of_users)?;
    plan.programs.iter().try_for_each(|program| root.run(program))?;
    switch(&root, &plan, configuration.init)?;
    plan.tests.iter().try_for_each(|program| root.judge(program))
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
    for service in &plan.later {
        root.run(&enable(configuration.init, service)).map_err(|f| {
            f.hint(format!("See that the overlay or a script of `postInstall` brings {service}."))
        })?;
    }
    Ok(())
}

/// Switches services on and off, by the init system's own means.
fn switch(root: &Root<'_>, plan: &Plan, init: Init) -> Result<()> {
    for service in &plan.on {
        root.run(&enable(init, service))?;
    }
    // After those that are switched on: some bring others along (`Also=`).
    for service in &plan.off {
        root.run(&disable(init, service))?;
    }
    Ok(())
}

fn enable(init: Init, service: &str) -> Program {
    let what = format!("switching {service} on");
    match init {
        Init::Systemd => Program::new(&what, "/bin/systemctl", &["enable", "--", service]),
        Init::Openrc => Program::new(&what, "/sbin/rc-update", &["add", service, "default"]),
        Init::Runit => {
            let link = format!("/etc/runit/runsvdir/default/{service}");
            Program::new(&what, "/bin/ln", &["-sfn", &format!("/etc/sv/{service}"), &link])
        }
        // A member of the bundle that s6-rc brings up at boot.
        Init::S6 => {
            Program::new(&what, "/usr/bin/install", &["-D", "-m", "0644", "/dev/null", &s6_member(service)])
        }
    }
}

fn disable(init: Init, service: &str) -> Program {
    let what = format!("switching {service} off");
    match init {
        Init::Systemd => Program::new(&what, "/bin/systemctl", &["disable", "--", service]),
        Init::Openrc => Program::new(&what, "/sbin/rc-update", &["--all", "del", service]),
        Init::Runit => {
            Program::new(&what, "/bin/rm", &["-f", &format!("/etc/runit/runsvdir/default/{service}")])
        }
        Init::S6 => Program::new(&what, "/bin/rm", &["-f", &s6_member(service)]),
    }
}

fn s6_member(service: &str) -> String {
    format!("/etc/s6/adminsv/default/contents.d/{service}")
}

/// A root in which the plan is carried out.
struct Root<'a> {
    sandbox: &'a Sandbox,
    events: &'a Emitter,
    cancel: &'a Cancel,
    epoch: i64,
}

impl Root<'_> {
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

    /// Runs a program that judges what was written, where that can be.
    fn judge(&self, program: &Program) -> Result<()> {
        if program.asks_kernel && self.sandbox.emulates() {
            self.events.warn(format!(
                "{} was left out: {} cannot be emulated; only the booted system shows it",
                program.what, program.path
            ));
            return Ok(());
        }
        self.run(program)
    }

    fn account(&self, account: &Account) -> Result<()> {
        let name = account.name.as_str();
        let groups = account.groups.join(",");
        let mut args = vec!["--create-home", "--user-group", "--shell", &account.shell];
        if !groups.is_empty() {
            args.extend(["--groups", &groups]);
        }
        args.push(name);
        self.run(&Program::new(&format!("making the account {name}"), "/usr/sbin/useradd", &args))?;
        let Some(hash) = &account.password_hash else { return Ok(()) };
        // On stdin: a command line can be read by everybody on the host.
        self.sandbox
            .process("/usr/sbin/chpasswd")?
            .arg("--encrypted")
            .stdin(format!("{name}:{hash}\n"))
            .check(self.cancel)
            .map(|_| ())
            .map_err(|f| Failure::spec(format!("setting the password of {name} failed")).details(f.message))
    }

    /// Files in users' homes, with the folders on the way, given to their owners.
    fn files_of_users(&self, files: &[&File]) -> Result<()> {
        self.files(files)?;
        for file in files {
            let Some(owner) = &file.owner else { continue };
            let owned = format!("{owner}:{owner}");
            let mut paths = folders_in_home(&file.path);
            // Keys are nobody else's business (man sshd, "~/.ssh/").
            if let Some(folder) = paths.iter().find(|p| p.ends_with("/.ssh")) {
                self.run(&Program::new("closing a key folder", "/bin/chmod", &["0700", folder]))?;
            }
            paths.push(format!("/{}", file.path));
            let mut args = vec!["--no-dereference", owned.as_str()];
            args.extend(paths.iter().map(String::as_str));
            self.run(&Program::new("giving files to their owner", "/bin/chown", &args))?;
        }
        Ok(())
    }
}

/// The folders between a home (`home/NAME`, which is its owner's already) and a file.
fn folders_in_home(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    (3..parts.len()).map(|n| format!("/{}", parts[..n].join("/"))).collect()
}

fn entry(file: &File) -> Entry {
    match &file.content {
        FileContent::Bytes { mode, bytes } => Entry::file(&file.path, *mode, bytes.clone()),
        FileContent::Link { target } => Entry::symlink(&file.path, target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_below_a_home_change_hands() {
        assert_eq!(folders_in_home("home/a/.ssh/authorized_keys"), ["/home/a/.ssh"]);
        assert_eq!(
            folders_in_home("home/a/.config/sway/config"),
            ["/home/a/.config", "/home/a/.config/sway"]
        );
        assert!(folders_in_home("home/a/.zshrc").is_empty());
    }
}
