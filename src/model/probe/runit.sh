# What runit says of the system and its services (man sv, runsv). Sourced by the probe and the
# checker.
services=/etc/runit/runsvdir/current

# The probe is one of them, started last with all others: what does not stay up by then fails.
system_state() {
    if [ -z "$(failed_units)" ]; then echo running
    elif [ "$(age "$(sv status $services/bootwright-probe)")" -lt 30 ]; then echo starting
    else echo degraded; fi
}

age() { # STATUS: "run: NAME: (pid 12) 34s, …", "down: NAME: 34s, …": the seconds
    rest=${1#*: }
    rest=${rest#*: }
    rest=${rest#"(pid "*") "}
    echo "${rest%%s*}"
}

unit_states() { # NAME, with systemd's ending or without
    name=${1%.service}
    if [ -e "$services/$name" ]; then
        status=$(timeout 20 sv status "$services/$name" 2>&1)
        case $status in
        # What has just started may be what ends at once and is started again and again.
        run:*) if [ "$(age "$status")" -lt 2 ]; then echo loaded activating start success; else echo loaded active running success; fi ;;
        down:*"want up"* | finish:*) echo loaded activating auto-restart died ;;
        # Somebody told it so: itself, when its work was done, or its owner.
        down:*) echo loaded inactive dead success ;;
        *) echo loaded failed failed failed ;;
        esac
    elif [ -d "/etc/sv/$name" ]; then echo loaded inactive dead success
    else script_states; fi
}
