#!/bin/sh
# What process 1 becomes when s6-svscan has stopped its services: the distribution's scripts stop
# the rest, unmount, and end with what was asked for. Nobody asked if something broke: it starts again.
runlevel=6
[ ! -e /run/s6/runlevel ] || read -r runlevel </run/s6/runlevel
PREVLEVEL=2 RUNLEVEL=$runlevel /etc/init.d/rc "$runlevel"
# They do not come back.
case $runlevel in 0) poweroff -f ;; *) reboot -f ;; esac
