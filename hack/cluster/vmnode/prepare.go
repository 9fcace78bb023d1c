package vmnode

import (
	"context"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/command"
	"github.com/multinet-dev/multinet/hack/cluster/kindcluster"
)

//go:embed files
var files embed.FS

// Control is the folder that is /control in the guest of a cluster.
func Control(c kindcluster.Cluster) string { return filepath.Join(Folder(c), "control") }

// Folder is of the cluster's machine; whoever runs it holds the folder's lock.
func Folder(c kindcluster.Cluster) string { return filepath.Join(c.Files.Folder, "vm-node") }

// prepare fills the control folder, with a client certificate for this one run.
func (n Node) prepare(ctx context.Context, control string) error {
	for _, folder := range []string{"commands", "images", "credentials"} {
		if err := os.MkdirAll(filepath.Join(control, folder), 0o700); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"enter.sh": "command", "node.sh": "node.sh", "containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "primary.conflist": "primary.conflist",
	} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(control, target), text, 0o644); err != nil {
			return err
		}
	}
	for i, archive := range n.Images {
		if _, err := command.New("cp", archive, filepath.Join(control, "images", fmt.Sprintf("%02d.tar", i))).Run(ctx); err != nil {
			return fmt.Errorf("handing over an image: %w", err)
		}
	}
	settings, err := n.settings(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(control, "settings"), []byte(settings), 0o644); err != nil {
		return err
	}
	return n.issue(ctx, filepath.Join(control, "credentials"))
}

// settings are variables for the guest's shell.
func (n Node) settings(ctx context.Context) (string, error) {
	port, err := n.apiPort(ctx)
	if err != nil {
		return "", err
	}
	service, err := n.Cluster.Kubectl(ctx, nil, "get", "service", "kubernetes", "--output", "jsonpath={.spec.clusterIP}")
	if err != nil {
		return "", fmt.Errorf("asking for the API's service address: %w", err)
	}
	address, err := n.address(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("NODE=%s\nADDRESS=%s\nSERVICE=%s\nAPI=10.0.2.2:%s\nLABEL=%s\n", n.Name, address, service, port, kindcluster.VMLabel), nil
}

// apiPort is where Docker publishes the API server on this machine's loopback, which the guest reaches at 10.0.2.2.
func (n Node) apiPort(ctx context.Context) (string, error) {
	published, err := n.Cluster.Docker.Run(ctx, "port", n.Cluster.Request.ControlPlane(), "6443/tcp")
	if err != nil {
		return "", fmt.Errorf("asking for the API server's port: %w", err)
	}
	first, _, _ := strings.Cut(published, "\n")
	at, err := netip.ParseAddrPort(strings.TrimSpace(first))
	if err != nil {
		return "", fmt.Errorf("the API server's port: %w", err)
	}
	return fmt.Sprint(at.Port()), nil
}

// address is at the end of kind's subnet, whose beginning Docker hands out. Nothing answers there for the API server, which
// would look for the address of QEMU's own network somewhere out in the world.
func (n Node) address(ctx context.Context) (netip.Addr, error) {
	subnets, err := n.Cluster.Docker.Lines(ctx, "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "kind")
	if err != nil {
		return netip.Addr{}, fmt.Errorf("asking for kind's subnet: %w", err)
	}
	for _, text := range subnets {
		if prefix, err := netip.ParsePrefix(text); err == nil && prefix.Addr().Is4() {
			return nearEnd(prefix), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("kind's network has no IPv4 subnet, only %v", subnets)
}

// nearEnd is the last address but one that hosts can have.
func nearEnd(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Masked().Addr().As4()
	for bit := prefix.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes).Prev().Prev()
}

func nodeNames(lines string) []string {
	var names []string
	for _, line := range strings.Fields(lines) {
		names = append(names, strings.TrimPrefix(line, "node/"))
	}
	return names
}
