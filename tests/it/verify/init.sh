#!/bin/busybox sh
# Plays an image for tests/it/verify.rs: the real probe, a fake systemd, one scenario.
/bin/busybox mkdir -p /usr/bin /sbin
/bin/busybox --install -s /bin
export PATH=/fake:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console pvpanic pvpanic-mmio efivarfs; do
    if [ -e /modules/$m.ko ]; then insmod /modules/$m.ko; fi
done
if [ -d /sys/firmware/efi ]; then mount -t efivarfs efivarfs /sys/firmware/efi/efivars; fi
sed 's/.*scenario=\([a-z-]*\).*/\1/' /proc/cmdline >/scenario
if [ "$(cat /scenario)" = shell ]; then printf '\n(initramfs) '; sleep 1000; fi
echo Welcome to tiny
hostname tiny
mkdir -p /etc /run/systemd/system
printf "first\n\t it's \$(here) \\\\ \n" >/etc/motd
probe=/usr/lib/bootwright/probe
case $(cat /scenario) in
panic) echo c >/proc/sysrq-trigger ;;
hang) sleep 1000 ;;
login-only) printf 'tiny login: '; sleep 1000 ;;
reset) sleep 1; reboot -f ;;
off) sleep 1; poweroff -f ;;
late-reset) { sleep 2; reboot -f; } & ;;
other-build) echo 0000000000000000000000000000000000000000000000000000000000000000 >/usr/lib/bootwright/build-id ;;
undeclared) hostname another; echo nothing >/etc/motd ;;
recording) sed -i 's/\$nonce/0123456789abcdef0123456789abcdef/g' $probe ;;
esac
if [ "$(cat /scenario)" != unit-and-port-down ]; then nc -l -p 80 & fi
{ sleep 8; nc -l -p 81; } &
# udev's part: the port appears a moment after its driver.
mkdir -p /dev/virtio-ports
while [ ! -e /sys/class/virtio-ports/vport*p1/name ]; do sleep 0.1; done
for port in /sys/class/virtio-ports/*; do
    ln -s ../"${port##*/}" /dev/virtio-ports/"$(cat "$port"/name)"
done
sh $probe
echo the probe ended
sleep 1000
