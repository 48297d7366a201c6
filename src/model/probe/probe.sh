#!/bin/sh
# Answers the questions that bootwright's verifier asks over a virtio-serial port.
# Without that port nothing ever starts this. One request a line:
#   hello NONCE | check NONCE [UNIT...] | reboot NONCE | poweroff NONCE
# One answer: "begin VERB NONCE BUILD-ID", facts, "end VERB NONCE BUILD-ID".
# What the spec declared is looked at by the checker, which lies beside this.
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

# FAMILY STATE: local address and port, hexadecimal, of sockets that wait for others: state
# LISTEN (0A) with TCP, CLOSE (07: nobody at the other end) with UDP.
listening() {
    if [ ! -r "/proc/net/$1" ]; then return; fi
    while read -r _ local _ state _; do
        if [ "$state" = "$2" ]; then say "listen $1 $local"; fi
    done <"/proc/net/$1"
}

check() {
    state=$(ask_systemd is-system-running)
    say "state $state"
    # Too early to look at anything: the verifier asks again.
    case $state in starting | initializing) return ;; esac
    sh $here/checker <$here/checks 3>&- | while IFS= read -r line; do say "result $line"; done
    failed
    timeout 20 journalctl -b -t bootwright-session -n 8 -o cat --no-pager 2>/dev/null | while read -r line; do
        say "journal bootwright-session $line"
    done
    for name in "$@"; do unit unit "$name"; done
    listening tcp 0A
    listening tcp6 0A
    listening udp 07
    listening udp6 07
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
