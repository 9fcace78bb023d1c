# Run by bash in the guest: becomes the node that /control/settings describes, and then runs commands for the host.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
. /control/settings

say() { echo "$(cut -d ' ' -f 1 /proc/uptime) $*"; }

# A seventh of the kubelet's time here went into signals that preempt goroutines, which are slow and so are preempted often.
export GODEBUG=asyncpreemptoff=1 GOGC=300

# keep runs a program for ever. Its log is outside, where it survives a guest that hangs.
keep() {
	local log=/control/$1.log
	while true; do
		"$@" >>"$log" 2>&1 || echo "$1 ended with status $?" >>"$log"
		sleep 1
	done
}

say "in the node's root file system"
# Secrets don't stay on the host.
cp -r /control/credentials /run/credentials
rm -r /control/credentials

mount --make-rshared /
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
hostname "$NODE"
echo "$NODE" >/etc/hostname
echo "127.0.0.1 localhost $NODE" >/etc/hosts
# Nothing asks for names outside: an image that is not here is missing at once.
echo nameserver 127.0.0.1 >/etc/resolv.conf
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id

# Names that no other node's interfaces have. Drivers name them in the order of PCI addresses.
pfs=0
for interface in /sys/class/net/eth*; do
	name=${interface##*/}
	case $(basename "$(readlink "$interface/device/driver")") in
	igb)
		ip link set "$name" name "pf$pfs" up
		pfs=$((pfs + 1))
		;;
	virtio_net) ip link set "$name" name out up ;;
	esac
done
ip address add 10.0.2.15/24 dev out
ip route add default via 10.0.2.2
ip address add "$ADDRESS/32" dev lo
echo 1 >/proc/sys/net/ipv4/ip_forward
# In place of kube-proxy, for the one service that pods here need.
pods=$(sed -n 's/.*"subnet": "\([^"]*\)".*/\1/p' /control/primary.conflist)
nft -f - <<EOF
table ip vm_node {
	chain prerouting {
		type nat hook prerouting priority dstnat
		ip daddr $SERVICE tcp dport 443 dnat to $API
	}
	chain output {
		type nat hook output priority -100
		ip daddr $SERVICE tcp dport 443 dnat to $API
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		ip saddr $pods oifname out masquerade
	}
}
EOF
say "network"

rm -f /etc/cni/net.d/*
mkdir -p /etc/cni/net.d /etc/containerd /var/lib/kubelet
cp /control/primary.conflist /etc/cni/net.d/10-primary.conflist
cp /control/containerd.toml /etc/containerd/config.toml
keep containerd &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.2; done
say "containerd"
# containerd's own import would take the archive over a stream, which takes twice as long.
load() { ctr --namespace k8s.io images import --local --no-unpack "$1" >/dev/null; }
set -- /control/images/*.tar
[ ! -e "$1" ] || load "$1"
shift
for archive; do load "$archive"; done &
say "images"
keep kubelet --config=/control/kubelet.yaml --kubeconfig=/run/credentials/kubeconfig --hostname-override="$NODE" \
	--node-ip="$ADDRESS" --node-labels="$LABEL=" --housekeeping-interval=1m &
say "kubelet"

# The read that times out is a sleep without a process.
mkfifo /run/never
exec 9<>/run/never
cd /control/commands
shopt -s nullglob
set +e
while true; do
	for file in *.sh; do
		stem=${file%.sh}
		mv "$file" "$stem.running"
		{
			bash "$stem.running" >"$stem.out" 2>"$stem.err" </dev/null
			echo $? >"$stem.ended"
			mv "$stem.ended" "$stem.status"
		} &
	done
	read -r -t 0.2 -u 9
done
