# What OpenRC says of the system and its services (man rc-service, openrc). Its state lies in
# folders of links, which its own programs read too. Sourced by the probe and the checker.
states=/run/openrc

system_state() {
    if [ -e $states/rc.starting ]; then echo starting; return; fi
    case $(cat $states/softlevel 2>/dev/null) in '' | sysinit | boot) echo starting; return ;; esac
    if [ -n "$(failed_units)" ]; then echo degraded; else echo running; fi
}

unit_states() { # NAME, with systemd's ending or without
    name=${1%.service}
    if [ ! -x "/etc/init.d/$name" ]; then echo not-found inactive dead success; return; fi
    for state in starting inactive scheduled; do
        if [ -L "$states/$state/$name" ]; then echo loaded activating start success; return; fi
    done
    if [ ! -L "$states/started/$name" ]; then
        for level in sysinit boot default; do
            # OpenRC does not keep that a start failed, only that there was none.
            if [ -L "/etc/runlevels/$level/$name" ]; then echo loaded failed failed failed; return; fi
        done
        echo loaded inactive dead success
        return
    fi
    words=$(timeout 20 rc-service -- "$name" status 2>&1 </dev/null)
    case $?:$words in
    0:*) echo loaded active running success ;;
    # A script that has no word for it starts nothing that stays: it did its work.
    *[Uu]sage:*) echo loaded active exited success ;;
    # LSB: 1 and 2, it died; 3, it does not run; OpenRC: 32, it crashed.
    1:* | 2:* | 3:* | 32:*) echo loaded failed failed died ;;
    *) echo loaded active exited success ;;
    esac
}

failed_units() {
    set +f
    for link in /etc/runlevels/sysinit/* /etc/runlevels/boot/* /etc/runlevels/default/*; do
        found=${link##*/}
        for state in started starting inactive scheduled; do
            if [ -L "$states/$state/$found" ]; then continue 2; fi
        done
        if [ -L "$link" ]; then echo "$found"; fi
    done
    set -f
}

last_words() { :; }
session_words() { :; }
boot_time() { :; }
stop_system() { "$1"; }
