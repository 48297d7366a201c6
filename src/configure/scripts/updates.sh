#!/bin/sh
# Installs updates: MANAGER SCOPE [HH:MM]. With a time, this machine restarts then if an update
# needs that; without, never by itself.
set -uf
manager=$1 scope=$2 at=${3:-}
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

update() {
    case $manager-$scope in
    apt-*)
        # An image names no mirror: which one a machine asks is its owner's choice.
        if [ -z "$(apt-get indextargets)" ]; then
            echo "updates: no package sources: put them into /etc/apt/sources.list.d" >&2
            return 1
        fi
        apt-get -q update && unattended-upgrade
        ;;
    dnf-security) dnf --assumeyes --refresh upgrade --security ;;
    dnf-*) dnf --assumeyes --refresh upgrade ;;
    zypper-security) zypper --non-interactive patch --category security ;;
    zypper-all) zypper --non-interactive update ;;
    zypper-rolling) zypper --non-interactive dist-upgrade ;;
    pacman-*) pacman -Syu --noconfirm ;;
    apk-*) apk upgrade --update-cache ;;
    xbps-*) xbps-install -Syu xbps && xbps-install -yu ;;
    emerge-*) emaint --auto sync && emerge --quiet --update --deep --newuse @world ;;
    esac
    status=$?
    # zypper: 102 asks for a restart, 103 for another run because zypper itself was renewed.
    case $manager-$status in zypper-102 | zypper-103) status=0 ;; esac
    return $status
}

# What Debian leaves behind, or a kernel whose modules are gone.
wants_restart() { [ -e /run/reboot-required ] || [ ! -d "/lib/modules/$(uname -r)" ]; }

restart() {
    if command -v shutdown >/dev/null; then exec shutdown -r "$at"; fi
    hour=${at%:*} minute=${at#*:}
    set -- $(date '+%H %M')
    wait=$(((${hour#0} * 60 + ${minute#0} - ${1#0} * 60 - ${2#0} + 1440) % 1440))
    (sleep $((wait * 60)) && reboot) &
}

update || exit
if [ -n "$at" ] && wants_restart; then restart; fi
