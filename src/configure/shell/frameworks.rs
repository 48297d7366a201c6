//! Frameworks: the lines that load one, and what shows that it was loaded.
//!
//! All of them update themselves by their own git, which would write below `/usr/share`: that
//! is switched off. A new commit in the spec is the update.

use super::folder;
use crate::configure::System;
use crate::model::spec::ShellFramework;

/// What a framework is to a shell.
pub(super) struct Framework {
    /// Lines of the rc file.
    pub lines: String,
    /// Other files of the user, below the home.
    pub files: Vec<(&'static str, String)>,
    /// A condition in the shell's own language that holds once it is loaded.
    pub loaded: &'static str,
    /// A condition that holds if the theme is there.
    pub themed: Option<String>,
    /// Whether the theme is part of the framework, and there when the rc file is written.
    pub own_themes: bool,
}

/// Themes have letters, digits and `. _ + -` and blanks only: single quotes hold them.
pub(super) fn framework(system: &System<'_>, framework: ShellFramework) -> Framework {
    let at = format!("/{}", folder(framework.as_str()));
    let theme = system.configuration.customization.shell_theme.as_ref().map(ToString::to_string);
    let theme_or = |usual: &str| theme.clone().unwrap_or_else(|| usual.to_owned());
    match framework {
        ShellFramework::OhMyZsh => Framework {
            lines: format!(
                "export ZSH={at}\nZSH_THEME='{}'\n\
                 ZSH_CACHE_DIR=${{XDG_CACHE_HOME:-$HOME/.cache}}/oh-my-zsh\n\
                 zstyle ':omz:update' mode disabled\nplugins=({})\nsource \"$ZSH/oh-my-zsh.sh\"\n",
                theme_or("robbyrussell"),
                if system.has("git") { "git" } else { "" },
            ),
            files: Vec::new(),
            loaded: "(( $+functions[omz] ))",
            own_themes: true,
            themed: Some(
                "[[ -r $ZSH/themes/$ZSH_THEME.zsh-theme || -r $ZSH/custom/themes/$ZSH_THEME.zsh-theme ]]"
                    .to_owned(),
            ),
        },
        ShellFramework::Prezto => Framework {
            lines: format!("source {at}/init.zsh\n"),
            files: vec![(".zpreztorc", preztorc(&theme_or("sorin")))],
            loaded: "(( $+functions[pmodload] ))",
            own_themes: true,
            themed: theme.map(|theme| format!("(( $+functions[prompt_{theme}_setup] ))")),
        },
        ShellFramework::OhMyBash => Framework {
            lines: format!(
                "export OSH={at}\nOSH_THEME='{}'\nDISABLE_AUTO_UPDATE=true\nOMB_USE_SUDO=false\n\
                 completions=() aliases=() plugins=()\n. \"$OSH/oh-my-bash.sh\"\n",
                theme_or("font")
            ),
            files: Vec::new(),
            loaded: "declare -F _omb_module_require",
            own_themes: true,
            themed: Some("[[ -r $OSH/themes/$OSH_THEME/$OSH_THEME.theme.sh ]]".to_owned()),
        },
        ShellFramework::BashIt => Framework {
            lines: format!(
                "export BASH_IT={at}\nexport BASH_IT_THEME='{}'\nunset MAILCHECK\n. \"$BASH_IT/bash_it.sh\"\n",
                theme_or("bobby")
            ),
            files: Vec::new(),
            loaded: "declare -F bash-it",
            own_themes: true,
            themed: Some("[[ -r $BASH_IT/themes/$BASH_IT_THEME/$BASH_IT_THEME.theme.bash ]]".to_owned()),
        },
        ShellFramework::OhMyFish => Framework {
            lines: format!(
                "set -gx OMF_PATH {at}\nset -gx OMF_CONFIG \"$HOME/.config/omf\"\nsource $OMF_PATH/init.fish\n"
            ),
            files: vec![(".config/omf/theme", format!("{}\n", theme_or("default")))],
            loaded: "functions -q omf",
            own_themes: false,
            // Its repository has no themes: they come with the dotfiles, a layer later.
            themed: theme.clone().map(|theme| {
                let there = |at: &str| format!("test -d {at}/themes/'{theme}'");
                format!("begin; {}; or {}; end", there("$OMF_CONFIG"), there("$OMF_PATH"))
            }),
        },
        ShellFramework::Fisher => Framework {
            lines: format!(
                "set -p fish_function_path {at}/functions\nset -p fish_complete_path {at}/completions\n"
            ),
            files: Vec::new(),
            loaded: "functions -q fisher",
            own_themes: true,
            themed: None,
        },
    }
}

/// Prezto's own list: its usual modules, and the theme as the last word.
fn preztorc(theme: &str) -> String {
    let modules =
        ["environment", "terminal", "editor", "history", "directory", "spectrum", "utility", "completion"];
    let list: String = modules.iter().map(|module| format!(" '{module}'")).collect();
    format!("zstyle ':prezto:load' pmodule{list} 'prompt'\nzstyle ':prezto:module:prompt' theme '{theme}'\n")
}
