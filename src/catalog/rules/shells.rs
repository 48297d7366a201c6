//! Shells, their frameworks and prompts, dotfiles, and where their files come from.

use super::rows::{here, rules};
use super::{Hit, Rule};
use crate::model::spec::{Customization, OsImage, Prompt, Shell, ShellFramework, Source};

rules! {
    "framework-of-shell" Error Compat ["spec.customization.shellFramework", "spec.customization.shell"]
    says "{framework} is for {right}, and the shell is {shell}"
    does "Write `shell: {right}`, or take another framework."
    why "A framework is a collection of scripts in its shell's own language."
    => |i| i.spec.customization.shell_framework.iter().filter(|f| f.shell() != shell(i)).map(|f| {
        Hit::at("spec.customization.shellFramework").with("framework", f.as_str()).with("right", f.shell().as_str())
            .with("shell", shell(i).as_str())
    }).collect(),

    "prompt-of-shell" Error Compat ["spec.customization.prompt", "spec.customization.shell"]
    says "{prompt} is for zsh, and the shell is {shell}"
    does "Write `shell: zsh`, or `prompt: starship`, which is for every shell."
    why "It is written in the language of zsh."
    => |i| i.spec.customization.prompt.iter()
        .filter(|p| matches!(p, Prompt::Powerlevel10k | Prompt::Pure) && shell(i) != Shell::Zsh)
        .map(|p| Hit::at("spec.customization.prompt").with("prompt", p.as_str()).with("shell", shell(i).as_str())).collect(),

    "shell-theme-alone" Error Validation ["spec.customization.shellTheme", "spec.customization.shellFramework"]
    says "nothing reads this theme: there is no shell framework"
    does "Choose a `shellFramework`, such as oh-my-zsh, or take the theme away."
    why "Themes are files of a framework."
    => |i| {
        let looks = &i.spec.customization;
        here(looks.shell_theme.is_some() && looks.shell_framework.is_none(), "spec.customization.shellTheme")
    },

    "prompt-over-theme" Warning Validation ["spec.customization.shellTheme", "spec.customization.prompt"]
    says "{prompt} draws over what the theme {theme} draws"
    does "Keep one of the two."
    why "Both set the shell's prompt, and the later one wins."
    => |i| {
        let looks = &i.spec.customization;
        looks.shell_theme.as_ref().zip(looks.prompt).map(|(theme, prompt)| {
            Hit::at("spec.customization.shellTheme").with("theme", theme).with("prompt", prompt.as_str())
        }).into_iter().collect()
    },

    "dotfiles-from-where" Error Validation
    ["spec.customization.dotfiles.folder", "spec.customization.dotfiles.repository"]
    says "dotfiles come from {count}"
    does "Name a `folder` of the catalog or a `repository`, not both."
    why "Files of two sources would overwrite one another."
    => |i| i.spec.customization.dotfiles.iter().filter_map(|d| match (&d.folder, &d.repository) {
        (Some(_), Some(_)) => Some("two places"),
        (None, None) => Some("nowhere"),
        _ => None,
    }).map(|count| Hit::at("spec.customization.dotfiles").with("count", count)).collect(),

    "dotfiles-commit" Error Validation
    ["spec.customization.dotfiles.repository", "spec.customization.dotfiles.revision"]
    says "the repository of the dotfiles has no `revision`"
    does "Write the whole commit, as `git ls-remote` shows it."
    why "A branch moves, and the same spec would make another image tomorrow."
    => |i| i.spec.customization.dotfiles.iter().filter(|d| d.repository.is_some() && d.revision.is_none())
        .map(|_| Hit::at("spec.customization.dotfiles.repository")).collect(),

    "dotfiles-commit-alone" Error Validation
    ["spec.customization.dotfiles.repository", "spec.customization.dotfiles.revision"]
    says "nothing reads this commit: there is no repository"
    does "Add `repository`, or take `revision` away."
    why "A folder of the catalog is taken at the catalog's own commit."
    => |i| i.spec.customization.dotfiles.iter().filter(|d| d.repository.is_none() && d.revision.is_some())
        .map(|_| Hit::at("spec.customization.dotfiles.revision")).collect(),

    "dotfiles-user" Error Validation ["spec.customization.dotfiles.users[]", "spec.defaults.users"]
    says "there is no user {name}"
    does "Declare it in `defaults.users`, or take it away here."
    why "Dotfiles are copied into a home folder that is made with its user."
    => |i| i.spec.customization.dotfiles.iter().flat_map(|d| d.users.iter().enumerate())
        .filter(|(_, name)| !i.spec.defaults.users.iter().any(|u| u.name == **name))
        .map(|(at, name)| Hit::at(format!("spec.customization.dotfiles.users[{at}]")).with("name", name)).collect(),

    "dotfiles-for-nobody" Warning Validation ["spec.customization.dotfiles", "spec.defaults.users"]
    says "dotfiles are for nobody: there are no users"
    does "Declare one in `defaults.users`."
    why "Root's settings are not touched."
    => |i| here(i.spec.customization.dotfiles.is_some() && i.spec.defaults.users.is_empty(), "spec.customization.dotfiles"),

    "framework-source" Error Validation
    ["spec.customization.shellFramework", "spec.customization.shellFrameworkSource"]
    says "nothing brings {framework}: distributions have no packages of it"
    does "Write `shellFrameworkSource: {repository: https://…, revision: COMMIT}`, or name a `folder` of the catalog."
    why "Its own installer fetches whatever is there today; a commit is the same tomorrow."
    => |i| looks(i).shell_framework.iter().filter(|_| looks(i).shell_framework_source.is_none())
        .map(|f| Hit::at("spec.customization.shellFramework").with("framework", f.as_str())).collect(),

    "framework-source-alone" Error Validation
    ["spec.customization.shellFrameworkSource", "spec.customization.shellFramework"]
    says "nothing reads this: there is no shell framework"
    does "Choose a `shellFramework`, or take the source away."
    why "What is in a source is loaded by the rules of its framework."
    => |i| here(looks(i).shell_framework.is_none() && looks(i).shell_framework_source.is_some(),
        "spec.customization.shellFrameworkSource"),

    "theme-of-framework" Error Compat ["spec.customization.shellTheme", "spec.customization.shellFramework"]
    says "Fisher has no themes of its own"
    does "Take `shellTheme` away, and put the prompt's functions into the dotfiles."
    why "Fisher is a list of plugins; a theme is one of them."
    => |i| here(looks(i).shell_framework == Some(ShellFramework::Fisher) && looks(i).shell_theme.is_some(),
        "spec.customization.shellTheme"),

    "prompt-source" Error Validation ["spec.customization.prompt", "spec.customization.promptSource"]
    says "nothing brings pure: distributions have no packages of it"
    does "Write `promptSource: {repository: https://…, revision: COMMIT}`, or name a `folder` of the catalog."
    why "It is a script in the language of zsh, kept in a git repository."
    => |i| here(looks(i).prompt == Some(Prompt::Pure) && looks(i).prompt_source.is_none(), "spec.customization.prompt"),

    "prompt-source-alone" Error Validation ["spec.customization.promptSource", "spec.customization.prompt"]
    says "nothing reads this: only powerlevel10k and pure are scripts that a source can bring"
    does "Choose one of them as `prompt`, or take the source away."
    why "Starship and Oh My Posh are programs, which packages bring."
    => |i| here(looks(i).prompt_source.is_some() && !matches!(looks(i).prompt, Some(Prompt::Powerlevel10k | Prompt::Pure)),
        "spec.customization.promptSource"),

    "source-from-where" Error Validation
    ["spec.customization.shellFrameworkSource", "spec.customization.promptSource"]
    says "it names no place, or more than one"
    does "Write either `folder`, or `repository` with the whole commit as `revision`."
    why "A branch moves, and the same spec would make another image tomorrow."
    => |i| sources(looks(i)).filter(|(_, source)| source.origin().is_none()).map(|(field, _)| Hit::at(field)).collect(),
}

fn looks(image: &OsImage) -> &Customization {
    &image.spec.customization
}

fn sources(looks: &Customization) -> impl Iterator<Item = (&'static str, &Source)> {
    let framework =
        looks.shell_framework_source.iter().map(|s| ("spec.customization.shellFrameworkSource", s));
    framework.chain(looks.prompt_source.iter().map(|s| ("spec.customization.promptSource", s)))
}

/// The shell of users who name none.
fn shell(image: &OsImage) -> Shell {
    image.spec.customization.shell.unwrap_or(Shell::Bash)
}
