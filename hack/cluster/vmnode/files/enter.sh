# Run by busybox in the RAM disk: goes on in the root file system of a kind node, which is the guest's disk.
set -e
for module in virtio_blk ext4 virtio_net overlay nft_chain_nat nft_nat nft_masq; do
	modprobe "$module"
done
mkdir /node
mount -t ext4 -o noatime /dev/vda /node
mkdir -p /node/control /node/repository
for folder in proc sys dev control repository; do
	mount -o rbind "/$folder" "/node/$folder"
done
mount -t tmpfs run /node/run
mount -t tmpfs tmp /node/tmp
exec chroot /node /bin/bash /control/node.sh
