#!/usr/bin/env bash
# Installs the Debian packages that the given lists name and this host lacks.
# usage: scripts/setup.sh LIST...
set -euo pipefail

missing=()
for package in $(sed 's/#.*//' "$@"); do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
        apt-get --quiet --yes --option DPkg::Lock::Timeout=600 "$@"
}
# An already installed package from backports may conflict with Debian's own of today
# (QEMU does): such a package is taken from backports too.
can() { apt install --simulate --no-install-recommends "$@" >/dev/null 2>&1; }

echo "installing ${missing[*]}"
apt update
backports=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}-backports")
plain=() newer=()
for package in "${missing[@]}"; do
    if ! can "$package" && can --target-release "$backports" "$package"; then
        newer+=("$package")
    else
        plain+=("$package")
    fi
done
[ ${#plain[@]} -eq 0 ] || apt install --no-install-recommends "${plain[@]}"
[ ${#newer[@]} -eq 0 ] || apt install --no-install-recommends --target-release "$backports" "${newer[@]}"
