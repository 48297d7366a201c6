# What s6 says of the system and its services (s6-svstat). Sourced by the probe and the checker.
services=/run/s6/service

# The probe is one of them, started last with all others: what does not stay up by then fails.
system_state() {
    if [ ! -e /run/s6/started ]; then echo starting
    elif [ -z "$(failed_units)" ]; then echo running
    elif [ "$(s6-svstat -o updownfor $services/bootwright-probe)" -lt 30 ]; then echo starting
    else echo degraded; fi
}

unit_states() { # NAME, with systemd's ending or without
    name=${1%.service}
    if [ -e "$services/$name" ]; then
        set -- $(timeout 20 s6-svstat -o up,wantedup,ready,updownfor "$services/$name" 2>&1)
        case "${1-} ${2-} ${3-}" in
        "true true true") echo loaded active running success ;;
        # It has yet to say that it is ready. Where it says nothing, what has just started may be what
        # ends at once and is started again and again.
        "true true false")
            if [ -e "$services/$name/notification-fd" ] || [ "$4" -lt 2 ]; then echo loaded activating start success
            else echo loaded active running success; fi ;;
        "false true "*) echo loaded activating auto-restart died ;;
        # Somebody told it so.
        "true false "* | "false false "*) echo loaded inactive dead success ;;
        *) echo loaded failed failed failed ;;
        esac
    elif [ -d "/etc/s6/sv/$name" ]; then echo loaded inactive dead success
    else script_states; fi
}
