# What is the same whatever supervises services, in folders of $services: which of them fail, and what
# scripts of System V say of the others.
failed_units() {
    set +f
    for service in $services/*; do
        case $(unit_states "${service##*/}") in
        *" failed "* | *" activating "*) echo "${service##*/}" ;;
        esac
    done
    set -f
}

script_states() { # of $name
    if [ ! -x "/etc/init.d/$name" ]; then echo not-found inactive dead success; return; fi
    words=$(timeout 20 "/etc/init.d/$name" status 2>&1 </dev/null)
    case $?:$words in
    0:*) echo loaded active running success ;;
    # It has no word for it: all that is kept is whether it was to be started.
    *[Uu]sage:*) case $(echo /etc/rc[S2].d/S[0-9][0-9]"$name") in *'['*) echo loaded inactive dead success ;; *) echo loaded active exited success ;; esac ;;
    *) echo loaded inactive dead success ;;
    esac
}

last_words() { :; }
session_words() { :; }
boot_time() { :; }
stop_system() { "$1"; }

