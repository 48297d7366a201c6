#!/bin/sh
# What the probe asks of systemctl, answered for one scenario.
scenario=$(cat /scenario)
for word in "$@"; do last=$word; done
case "$*" in
*is-system-running) if [ $scenario = failed-unit ]; then echo degraded; else echo running; fi ;;
*list-units*) if [ $scenario = failed-unit ]; then echo broken.service loaded failed failed Broken; fi ;;
*show*)
    active=active sub=running result=success
    if [ $scenario = unit-and-port-down ]; then active=inactive sub=dead; fi
    if [ $last = broken.service ]; then active=failed sub=failed result=exit-code; fi
    printf 'LoadState=loaded\nActiveState=%s\nSubState=%s\nResult=%s\n' $active $sub $result
    ;;
*reboot) if [ $scenario = off-for-reboot ]; then poweroff -f; else reboot -f; fi ;;
*poweroff) poweroff -f ;;
esac
