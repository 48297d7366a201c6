//! What draws the prompt: the lines that start it, and what shows that it did.

use super::folder;
use crate::configure::System;
use crate::model::spec::{Family, Prompt, Shell};

/// Lines of the rc file, and a condition in the shell's own language that holds once they ran.
pub(super) fn prompt(system: &System<'_>, prompt: Prompt, shell: Shell) -> (String, String) {
    match prompt {
        Prompt::Starship | Prompt::OhMyPosh => of_program(prompt.as_str(), shell),
        Prompt::Powerlevel10k => {
            let at = match (system.base.family(), &system.configuration.customization.prompt_source) {
                (_, Some(_)) => folder(prompt.as_str()),
                (Family::Alpine, None) => "usr/share/zsh/plugins/powerlevel10k".to_owned(),
                (_, None) => "usr/share/zsh-theme-powerlevel10k".to_owned(),
            };
            // Its helper for git is a program that it would fetch at the first prompt.
            let lines = format!(
                "POWERLEVEL9K_DISABLE_CONFIGURATION_WIZARD=true\nPOWERLEVEL9K_DISABLE_GITSTATUS=true\n\
                 source /{at}/powerlevel10k.zsh-theme\nif [[ -r ~/.p10k.zsh ]]; then source ~/.p10k.zsh; fi\n"
            );
            (lines, "(( $+functions[p10k] ))".to_owned())
        }
        Prompt::Pure => {
            let lines = format!(
                "fpath+=(/{})\nautoload -Uz promptinit\npromptinit\nprompt pure\n",
                folder(prompt.as_str())
            );
            (lines, "(( $+functions[prompt_pure_precmd] ))".to_owned())
        }
    }
}

/// Programs that print what their shell is to run.
fn of_program(program: &str, shell: Shell) -> (String, String) {
    let name = shell.as_str();
    let lines = match shell {
        Shell::Fish => format!("{program} init fish | source\n"),
        Shell::Bash | Shell::Zsh => format!("eval \"$({program} init {name})\"\n"),
    };
    let loaded = match (program, shell) {
        ("starship", Shell::Fish) => "set -q STARSHIP_SHELL".to_owned(),
        ("starship", _) => "[[ -n $STARSHIP_SHELL ]]".to_owned(),
        (_, Shell::Fish) => "set -q POSH_SHELL_VERSION".to_owned(),
        (_, _) => "[[ -n $POSH_SHELL_VERSION ]]".to_owned(),
    };
    (lines, loaded)
}
