# Settings of the user `dev`; the spec is specs/dev-box.yaml.
HISTFILE=~/.zsh_history
HISTSIZE=10000
SAVEHIST=10000
setopt SHARE_HISTORY HIST_IGNORE_DUPS AUTO_CD
bindkey -e

autoload -Uz compinit
compinit -d ~/.cache/zcompdump

alias ll='ls -l --color=auto'
alias gs='git status --short --branch'
export EDITOR=nvim
path=(~/.local/bin $path)

for plugin in zsh-autosuggestions zsh-syntax-highlighting; do
  if [[ -r /usr/share/$plugin/$plugin.zsh ]]; then source /usr/share/$plugin/$plugin.zsh; fi
done
eval "$(starship init zsh)"
