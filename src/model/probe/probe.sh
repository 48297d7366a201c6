#!/bin/sh
# Answers the questions that bootwright's verifier asks over a virtio-serial port.
# Without that port nothing ever starts this. One request a line:
#   hello NONCE | check NONCE [UNIT...] | reboot NONCE | poweroff NONCE
# One answer: "begin VERB NONCE BUILD-ID", facts, "end VERB NONCE BUILD-ID".
# What the spec declared is looked at by the checker, which lies beside this.
# Plain POSIX sh, and what every system has (cat, od, timeout, uname). What the init system
# says of itself is asked by `init`, which lies beside this: there is one for each.
set -uf
port=/dev/virtio-ports/org.bootwright.verify.0
here=/usr/lib/bootwright
build=$(cat $here/build-id)
. $here/init

say() { printf '%s\n' "$*" >&3; }

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

failed() {
    failed_units | while read -r name; do
        say "failed $name $(unit_states "$name")"
        last_words "$name" | while read -r line; do say "journal $name $line"; done
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
    state=$(system_state)
    say "state $state"
    # Too early to look at anything: the verifier asks again.
    case $state in starting | initializing) return ;; esac
    sh $here/checker <$here/checks 3>&- | while IFS= read -r line; do say "result $line"; done
    failed
    session_words | while read -r line; do say "journal bootwright-session $line"; done
    for name in "$@"; do say "unit $name $(unit_states "$name")"; done
    listening tcp 0A
    listening tcp6 0A
    listening udp 07
    listening udp6 07
    say "uptime $(cat /proc/uptime)"
    say "taint $(cat /proc/sys/kernel/tainted)"
    boot_time | while read -r line; do say "time $line"; done
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
    case $verb in reboot | poweroff) stop_system "$verb" ;; esac
done
