# Builds the module netdevsim for the kernel $1, in a root file system that has its headers, its source and its compiler.
module=drivers/net/netdevsim
source=$(echo /usr/src/linux-source-*.tar.xz)
headers=/usr/src/linux-headers-$1
ln -sf mawk /usr/bin/awk
cd /tmp
tar xf "$source" --strip-components 1 --wildcards "*/$module/*"
# It is there for BTF alone, which nobody here reads and which takes longer than all else.
rm -f "$headers/vmlinux"
make -s -C "$headers" M="/tmp/$module" CONFIG_NETDEVSIM=m modules
strip --strip-debug "$module/netdevsim.ko"
xz -c --check=crc32 "$module/netdevsim.ko" >netdevsim.ko.xz
