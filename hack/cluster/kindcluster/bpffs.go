package kindcluster

import (
	"context"
	"fmt"
	"strings"
)

// bpfUnit mounts what systemd itself mounts on machines, and leaves out in containers. It does so at each boot.
const bpfUnit = `[Unit]
Description=BPF file system
DefaultDependencies=no
ConditionPathIsMountPoint=!/sys/fs/bpf
Before=containerd.service kubelet.service

[Service]
Type=oneshot
ExecStart=/bin/mount -t bpf bpf /sys/fs/bpf

[Install]
WantedBy=multi-user.target
`

// mountBPF gives each node a BPF file system, where programs outlive the processes that made them.
func (c Cluster) mountBPF(ctx context.Context) error {
	const script = `cat >/etc/systemd/system/multinet-bpffs.service && systemctl daemon-reload && systemctl enable --quiet --now multinet-bpffs.service`
	for _, node := range c.Request.Nodes() {
		if _, err := c.Docker.Pipe(ctx, strings.NewReader(bpfUnit), "exec", "-i", node, "sh", "-c", script); err != nil {
			return fmt.Errorf("node %s: mounting a BPF file system: %w", node, err)
		}
	}
	return nil
}
