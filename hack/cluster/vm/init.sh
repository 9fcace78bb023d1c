#!/bin/busybox sh
# The guest's first process: it runs the host's command once and powers off. What it has to say itself goes to the console.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp

stop() {
	[ -z "$1" ] || echo "init: $1" >/dev/console
	poweroff -f
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
exec >/dev/console 2>&1

# A feature whose module is not there must not be taken for one that the kernel lacks.
for module in $(cat /modules); do
	modprobe "$module" || stop "module $module cannot be loaded"
done
share="trans=virtio,version=9p2000.L,msize=262144"
mount -t 9p -o "$share,ro,cache=loose" repository /repository || stop "the repository cannot be mounted"
mount -t 9p -o "$share,cache=none" control /control || stop "the control folder cannot be mounted"
ip link set lo up

sh /control/command </dev/null >/control/output 2>&1
echo $? >/control/status
sync
stop
