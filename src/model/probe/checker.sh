#!/bin/sh
# Looks at what the spec declared, for the probe beside it. On stdin one check a line:
#   NUMBER KIND FIELD...
# and on stdout one line for each: NUMBER and what was found; nothing is judged here. Every
# field is written for printf's %b, and is never more than an argument.
# Plain POSIX sh; outside of a check's own program it calls only what its kind needs.
set -uf
export LC_ALL=C
tab=$(printf '\t')
words=${CHECKER_TMP:-/run}/bootwright-checker.$$
trap 'rm -f "$words"' EXIT
umask 077
. /usr/lib/bootwright/init

service() { say "$(unit_states "$1")"; }

file() { # PATH HASH: mode, owner and, if HASH is yes, SHA-256
    if [ ! -e "$1" ]; then say missing; return; fi
    sum=-
    if [ "$2" = yes ] && [ -f "$1" ]; then sum=$(sha256sum <"$1"); fi
    say "$(stat -L -c '%f %U' -- "$1") ${sum%% *}"
}

link() { if [ -L "$1" ]; then say "link $(readlink -- "$1")"; elif [ -e "$1" ]; then say "no link"; else say missing; fi; }

line() { # PATH LINE: whether it stands there, blanks around it not counted
    if [ ! -r "$1" ]; then say missing; return; fi
    while IFS=" $tab" read -r found || [ -n "$found" ]; do
        if [ "$found" = "$2" ]; then say present; return; fi
    done <"$1"
    say absent
}

user() { # NAME: its shell and its groups
    while IFS=: read -r name _ _ _ _ _ shell; do
        if [ "$name" = "$1" ]; then say "$shell $(id -Gn -- "$1")"; return; fi
    done </etc/passwd
    say missing
}

sysctl() { # PATH below /proc/sys; root cannot read all of them
    if value=$(cat "/proc/sys/$1" 2>/dev/null); then say "is $value"; else say missing; fi
}

module() {
    if [ -d "/sys/module/$1" ]; then say loaded; return; fi
    case $(timeout 20 modprobe -n -v -- "$1" 2>/dev/null) in *" /bin/false"*) say blocked ;; *) say absent ;; esac
}

flag() {
    for word in $(cat /proc/cmdline); do if [ "$word" = "$1" ]; then say present; return; fi; done
    say absent
}

output() { # TEXT PROGRAM [ARGUMENT...]: its status, whether the text was there, its first line
    text=$1
    shift
    out=$(timeout 20 "$@" 2>"$words" </dev/null)
    status=$?
    case $out in *"$text"*) there=yes ;; *) there=no ;; esac
    if [ $status != 0 ] && [ -s "$words" ]; then out=$(cat "$words"); fi
    say "$status $there $(printf '%s\n' "$out" | while IFS= read -r first; do printf '%s' "$first"; break; done)"
}

mount() { # PATH, as /proc/mounts writes it: the type of what was mounted there last
    kind=missing
    while read -r _ place type _; do if [ "$place" = "$1" ]; then kind=$type; fi; done </proc/mounts
    say "$kind"
}

process() {
    set +f
    for found in /proc/[0-9]*/comm; do
        if IFS= read -r name <"$found" && [ "$name" = "$1" ]; then say present; set -f; return; fi
    done 2>/dev/null
    set -f
    say absent
}

# One line, whatever was found; the verifier reads no more than 1,024 bytes of it.
say() { printf '%s %.800s\n' "$number" "$(printf '%s' "$*" | tr '\n\t\r' '   ')"; }

look() { # KIND FIELD...: with the fields as they were meant
    kind=$1
    shift
    left=$#
    while [ $left -gt 0 ]; do
        set -- "$@" "$(printf '%b' "$1")"
        shift
        left=$((left - 1))
    done
    "$kind" "$@"
}

while read -r number kind fields <&4; do
    case $kind in
    timer) look service $fields ;;
    service | file | link | line | user | sysctl | module | flag | output | mount | process) look $kind $fields ;;
    esac
done 4<&0
