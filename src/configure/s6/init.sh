#!/bin/sh
# Process 1 of a system that s6 starts: has everything else done beside it and becomes s6-svscan
# ("How to run s6-svscan as process 1", s6's documentation). It must not fail, so it is short.
# Called by anybody else it is what shutdown calls: `init 0` powers off, `init 6` starts again.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
scan=/run/s6/service

if [ $$ -ne 1 ]; then
    case ${1-} in
    0 | 6) echo "$1" >/run/s6/runlevel && exec s6-svscanctl -t $scan ;;
    # To read its settings again, as packages ask sysvinit's.
    q | Q | u | U) exec s6-svscanctl -a $scan ;;
    *)
        echo "usage: init 0|6" >&2
        exit 1
        ;;
    esac
fi

# A place of its own: what lies in /run may not be run.
mountpoint -q /run || mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
mkdir -p /run/s6
mount -t tmpfs -o nosuid,nodev,mode=0755,size=16M s6 /run/s6
mkdir -p $scan
cp -r /usr/lib/bootwright/s6/svscan $scan/.s6-svscan
/usr/lib/bootwright/s6/boot </dev/null &
exec s6-svscan $scan </dev/null
