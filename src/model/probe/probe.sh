#!/bin/sh
# Answers the questions that bootwright's verifier asks over a virtio-serial port.
# Without that port nothing ever starts this. One request a line:
#   hello NONCE | check NONCE [UNIT...] | reboot NONCE | poweroff NONCE
# One answer: "begin VERB NONCE BUILD-ID", facts, "end VERB NONCE BUILD-ID".
# Plain POSIX sh, systemctl and what every Debian has (cat, od, timeout, uname).
set -uf
port=/dev/virtio-ports/org.bootwright.verify.0
here=/usr/lib/bootwright
build=$(cat $here/build-id)

say() { printf '%s\n' "$*" >&3; }
ask_systemd() { timeout 20 systemctl --no-pager "$@" 2>/dev/null; }

hello() {
    say "image $(cat $here/image)"
    say "boot-id $(cat /proc/sys/kernel/random/boot_id)"
    say "kernel $(uname -r)"
    if [ ! -d /sys/firmware/efi ]; then say "firmware bios"; return; fi
    say "firmware uefi"
    # UEFI 2.10, 3.3: four bytes of attributes, then 1 for on.
    var=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
    if [ -r $var ]; then say "secure-boot $(od -An -tu1 -j4 -N1 $var)"; fi
}

unit() { # KEYWORD UNIT: its states, each in the order in which systemd names them
    load=- active=- sub=- result=-
    while IFS='=' read -r key value; do
        case $key in
        LoadState) load=$value ;; ActiveState) active=$value ;;
        SubState) sub=$value ;; Result) result=$value ;;
        esac
    done <<END
$(ask_systemd show -p LoadState,ActiveState,SubState,Result -- "$2")
END
    say "$1 $2 ${load:--} ${active:--} ${sub:--} ${result:--}"
}

failed() {
    ask_systemd list-units --state=failed --plain --no-legend --full | while read -r name _; do
        unit failed "$name"
        timeout 20 journalctl -b -u "$name" -n 4 -o cat --no-pager 2>/dev/null | while read -r line; do
            say "journal $name $line"
        done
    done
}

listening() { # FAMILY FILE: local address and port, hexadecimal, of sockets in state LISTEN (0A)
    while read -r _ local _ state _; do
        if [ "$state" = 0A ]; then say "listen $1 $local"; fi
    done <"$2"
}

check() {
    say "state $(ask_systemd is-system-running)"
    failed
    for name in "$@"; do unit unit "$name"; done
    if [ -r /proc/net/tcp ]; then listening tcp /proc/net/tcp; fi
    if [ -r /proc/net/tcp6 ]; then listening tcp6 /proc/net/tcp6; fi
    say "uptime $(cat /proc/uptime)"
    say "taint $(cat /proc/sys/kernel/tainted)"
    timeout 20 systemd-analyze time 2>/dev/null | while read -r line; do say "time $line"; done
}

exec 3<>"$port" || exit 1
while :; do
    # End of file means that nobody is connected on the host's side.
    if ! read -r verb nonce words <&3; then sleep 1; continue; fi
    case $verb in hello | check | reboot | poweroff) ;; *) continue ;; esac
    say "begin $verb $nonce $build"
    case $verb in
    hello) hello ;;
    check) check $words ;;
    esac
    say "end $verb $nonce $build"
    case $verb in reboot | poweroff) ask_systemd --no-block "$verb" ;; esac
done
