package kernel

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Proc is a mount of procfs. The zero value is /proc. A container that is not privileged has its own /proc/sys read
// only and mounts that of the host elsewhere; either way net sysctls are those of the calling thread's namespace.
type Proc string

// WriteNet sets a sysctl below net, for example "ipv6/conf/net1/accept_ra", in the namespace of the calling thread:
// call it inside Namespace.Do. Plain system calls, since os.WriteFile asks the poller first, which cannot poll procfs.
func (p Proc) WriteNet(key, value string) error {
	path := p.netPath(key)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, path, err)
	}
	return nil
}

// ReadNet reads a sysctl below net, without the newline, in the namespace of the calling thread.
func (p Proc) ReadNet(key string) (string, error) {
	path := p.netPath(key)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var buffer [256]byte
	n, err := unix.Read(fd, buffer[:])
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return strings.TrimSpace(string(buffer[:n])), nil
}

func (p Proc) netPath(key string) string {
	root := string(p)
	if root == "" {
		root = "/proc"
	}
	return filepath.Join(root, "sys/net", key)
}
