//! The rc file of one user, judged by its own shell: read as a whole, and really started.

use super::frameworks::framework;
use super::prompts::prompt;
use crate::configure::{Plan, Program, System};
use crate::model::check::Expect;
use crate::model::name::UserName;
use crate::model::spec::{Prompt, Shell, User};

/// Printed by a shell in which everything was loaded.
const LOADED: &str = "everything is loaded";

/// A home for the shells that try the files out: what they leave there is gone with them.
const TRIAL: &str = "/tmp/trial";

/// What has to hold in a shell that was started.
struct Condition {
    field: &'static str,
    /// In the shell's own language.
    holds: String,
    /// Whether it holds as soon as the rc file is there, or only with the dotfiles above it.
    now: bool,
}

pub(super) fn plan(system: &System<'_>, user: &User, shell: Shell, plan: &mut Plan) {
    let looks = &system.configuration.customization;
    let of_shell = looks.shell_framework.filter(|framework| framework.shell() == shell);
    let framework = of_shell.map(|it| framework(system, it));
    // What is written in the language of zsh is for zsh alone.
    let drawn =
        looks.prompt.filter(|it| shell == Shell::Zsh || !matches!(it, Prompt::Powerlevel10k | Prompt::Pure));
    let prompt = drawn.map(|it| prompt(system, it, shell));
    if framework.is_none() && prompt.is_none() {
        return;
    }
    let (mut lines, mut conditions) = (opening(shell).to_owned(), Vec::new());
    if let Some(framework) = &framework {
        lines.push_str(&framework.lines);
        let field = "spec.customization.shellFramework";
        conditions.push(Condition { field, holds: framework.loaded.to_owned(), now: true });
        let (field, now) = ("spec.customization.shellTheme", framework.own_themes);
        let theme = looks.shell_theme.as_ref().and(framework.themed.clone());
        conditions.extend(theme.map(|holds| Condition { field, holds, now }));
        for (path, text) in &framework.files {
            plan.file_of(&user.name, &format!("home/{}/{path}", user.name), 0o644, text.clone());
        }
    }
    if let Some((started, loaded)) = prompt {
        lines.push_str(&started);
        conditions.push(Condition { field: "spec.customization.prompt", holds: loaded, now: true });
    }
    if drawn == Some(Prompt::Starship) {
        // A slow disk, or a machine that is emulated: the default of 500 ms only makes noise there.
        let settings = "command_timeout = 2000\n";
        plan.file_of(&user.name, &format!("home/{}/.config/starship.toml", user.name), 0o644, settings);
    }
    lines.push_str(closing(shell));
    let path = format!("home/{}/{}", user.name, place(shell));
    plan.file_of(&user.name, &path, 0o644, lines);
    let program = super::path(system.base, shell);
    judge(&user.name, shell, &program, &format!("/{path}"), &conditions, plan);
}

/// Below the home.
fn place(shell: Shell) -> &'static str {
    match shell {
        Shell::Zsh => ".zshrc",
        Shell::Bash => ".bashrc",
        // The user's own config.fish comes after it and stays untouched.
        Shell::Fish => ".config/fish/conf.d/00-image.fish",
    }
}

fn opening(shell: Shell) -> &'static str {
    match shell {
        Shell::Zsh => {
            "# From this image's spec; yours to change.\nHISTFILE=~/.zsh_history\nHISTSIZE=10000\nSAVEHIST=10000\n"
        }
        Shell::Bash => {
            "# From this image's spec; yours to change.\ncase $- in *i*) ;; *) return ;; esac\n\
             for rc in /etc/bash.bashrc /etc/bashrc; do\n    if [ -r \"$rc\" ]; then . \"$rc\"; fi\ndone\nunset rc\n"
        }
        Shell::Fish => "# From this image's spec; yours to change.\nif status is-interactive\n",
    }
}

fn closing(shell: Shell) -> &'static str {
    if shell == Shell::Fish { "end\n" } else { "" }
}

/// Reads the file without running it, starts a shell that loads it, and asks the booted
/// system's user the same for each field.
fn judge(
    user: &UserName,
    shell: Shell,
    program: &str,
    path: &str,
    conditions: &[Condition],
    plan: &mut Plan,
) {
    let what = format!("reading {path} by {}", shell.as_str());
    let only_read = if shell == Shell::Fish { "--no-execute" } else { "-n" };
    plan.test(Program::new(&what, program, &[only_read, path]));
    let now = conditions.iter().filter(|it| it.now).map(|it| it.holds.as_str());
    let all = said(shell, &now.collect::<Vec<_>>());
    let (home, cache) = (format!("HOME={TRIAL}"), format!("XDG_CACHE_HOME={TRIAL}/.cache"));
    let dump = format!("ZSH_COMPDUMP={TRIAL}/.zcompdump");
    let zdotdir = format!("ZDOTDIR=/home/{user}");
    let loading = format!("source {path}\n{all}");
    let own: Vec<&str> = match shell {
        Shell::Zsh => vec![&zdotdir, &dump, program, "-ic", &all],
        Shell::Bash => vec![program, "--rcfile", path, "-ic", &all],
        Shell::Fish => vec![program, "--no-config", "-ic", &loading],
    };
    let args: Vec<&str> = [home.as_str(), cache.as_str(), "TERM=linux"].into_iter().chain(own).collect();
    let what = format!("loading {path} by {}", shell.as_str());
    plan.test(Program::new(&what, "/usr/bin/env", &args).folder(TRIAL));
    for condition in conditions {
        let asked = said(shell, &[&condition.holds]);
        let home = format!("HOME=/home/{user}");
        let start = if shell == Shell::Bash { "-ic" } else { "-lic" };
        let argv = [
            "/usr/sbin/runuser",
            "-u",
            user.as_str(),
            "--",
            "/usr/bin/env",
            &home,
            "TERM=linux",
            program,
            start,
            &asked,
        ];
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        plan.check(condition.field, Expect::Output { argv, contains: LOADED.to_owned() });
    }
}

/// A script that says so if all conditions hold, and fails otherwise.
fn said(shell: Shell, conditions: &[&str]) -> String {
    match shell {
        Shell::Fish => format!("{}; or exit 1; echo {LOADED}", conditions.join("; and ")),
        Shell::Bash | Shell::Zsh => {
            let all: String = conditions.iter().map(|c| format!("{c} && ")).collect();
            format!("{all}echo {LOADED}")
        }
    }
}
