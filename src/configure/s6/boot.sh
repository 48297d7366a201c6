#!/bin/sh
# Starts the system beside s6-svscan: the distribution's scripts run once, services that have a
# folder for s6 are supervised. Their folders are copied: s6 writes into them, and the root may be
# read-only.
scan=/run/s6/service
PREVLEVEL=N RUNLEVEL=S /etc/init.d/rcS
for service in /etc/s6/default/*; do
    cp -rL "$service" $scan
done
until s6-svscanctl -a $scan; do
    sleep 1
done
PREVLEVEL=N RUNLEVEL=2 /etc/init.d/rc 2
echo >/run/s6/started
