#!/bin/sh
# The hand-made configuration of the standard image, for mmdebstrap and live-build.
# usage: customize.sh [ROOT]
set -eu
root=${1:-}
in_root() { if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi; }

echo standard > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 standard\n' > "$root/etc/hosts"
in_root useradd --create-home --shell /bin/bash --groups sudo --password '@HASH@' live
in_root systemctl enable systemd-networkd.service systemd-resolved.service ssh.service
rm -f "$root"/etc/ssh/ssh_host_*
mkdir -p "$root/etc/systemd/system/ssh.service.d"
printf '[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n' \
    > "$root/etc/systemd/system/ssh.service.d/keys.conf"
: > "$root/etc/machine-id"
