#!/bin/sh
# [ROOT]: makes a snapshot of the root filesystem and removes the oldest beyond KEEP.
# btrfs: below /.snapshots; zfs: of the root's dataset; LVM: a volume beside the root's.
set -u
root=${1:-} KEEP=7
. /etc/bootwright/snapshots.conf
name=bootwright-$(date -u +%Y%m%dT%H%M%S)
source=$(findmnt -nro SOURCE "${root:-/}") kind=$(findmnt -nro FSTYPE "${root:-/}")
oldest() { sort | head -n -"$KEEP"; }

btrfs_snapshots() {
    mkdir -p "$root/.snapshots" && btrfs subvolume snapshot -r "${root:-/}" "$root/.snapshots/$name" || return
    for old in $(ls "$root/.snapshots" | grep '^bootwright-' | oldest); do
        btrfs subvolume delete "$root/.snapshots/$old" || return
    done
}

zfs_snapshots() {
    zfs snapshot "$source@$name" || return
    for old in $(zfs list -H -t snapshot -o name -d 1 "$source" | grep '@bootwright-' | oldest); do
        zfs destroy "$old" || return
    done
}

lvm_snapshots() { # room for a tenth of the root to change
    group=$(lvs --noheadings -o vg_name "$source" | tr -d ' ')
    lvcreate --quiet --snapshot --extents 10%ORIGIN --name "$name" "$source" || return
    for old in $(lvs --noheadings -o lv_name "$group" | tr -d ' ' | grep '^bootwright-' | oldest); do
        lvremove --quiet --yes "$group/$old" || return
    done
}

case $kind:$source in
btrfs:*) btrfs_snapshots ;;
zfs:*) zfs_snapshots ;;
*:/dev/mapper/*) lvm_snapshots ;;
*) echo "snapshots: the root is $kind and keeps none (a live system?)" ;;
esac
