# What systemd says of the system and its units. Sourced by the probe and the checker.
ask_systemd() { timeout 20 systemctl --no-pager "$@" 2>/dev/null; }

system_state() { ask_systemd is-system-running; }

unit_states() { # UNIT: its states, each in the order in which systemd names them
    load=- active=- sub=- result=-
    while IFS='=' read -r key value; do
        case $key in
        LoadState) load=$value ;; ActiveState) active=$value ;;
        SubState) sub=$value ;; Result) result=$value ;;
        esac
    done <<END
$(ask_systemd show -p LoadState,ActiveState,SubState,Result -- "$1")
END
    echo "${load:--} ${active:--} ${sub:--} ${result:--}"
}

failed_units() {
    ask_systemd list-units --state=failed --plain --no-legend --full | while read -r name _; do echo "$name"; done
}

last_words() { timeout 20 journalctl -b -u "$1" -n 4 -o cat --no-pager 2>/dev/null; }

session_words() { timeout 20 journalctl -b -t bootwright-session -n 8 -o cat --no-pager 2>/dev/null; }

boot_time() { timeout 20 systemd-analyze time 2>/dev/null; }

stop_system() { ask_systemd --no-block "$1"; }
