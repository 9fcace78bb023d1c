package kindcluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// nodePrefix is a node's share of the pod subnet.
type nodePrefix struct {
	Node   string
	Prefix netip.Prefix
}

// installPrimaryCNI gives each node a bridge with host-local addresses out of its share, and the list of
// peers that its boot unit makes routes of (see nodeimage/files/multinet-primary).
func (c Cluster) installPrimaryCNI(ctx context.Context) error {
	defer c.Log.Step("installing the primary network")()
	var prefixes []nodePrefix
	err := poll(ctx, time.Minute, "waiting for the nodes' pod prefixes", func(ctx context.Context) (err error) {
		prefixes, err = c.prefixes(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		if err := c.configureNode(ctx, p, peers(p, prefixes)); err != nil {
			return fmt.Errorf("node %s: %w", p.Node, err)
		}
	}
	return nil
}

func (c Cluster) prefixes(ctx context.Context) ([]nodePrefix, error) {
	out, err := c.kubectl(ctx, "get", "nodes", "--selector", ownNodes, "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.spec.podCIDR}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	return parsePrefixes(out)
}

func parsePrefixes(text string) ([]nodePrefix, error) {
	var all []nodePrefix
	for line := range strings.Lines(text) {
		node, cidr, _ := strings.Cut(strings.TrimSpace(line), " ")
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("node %s has no pod prefix yet: %w", node, err)
		}
		all = append(all, nodePrefix{node, prefix})
	}
	return all, nil
}

// peers lists the other nodes, one "prefix name" per line.
func peers(self nodePrefix, all []nodePrefix) string {
	var b strings.Builder
	for _, p := range all {
		if p.Node != self.Node {
			fmt.Fprintf(&b, "%s %s\n", p.Prefix, p.Node)
		}
	}
	return b.String()
}

// conflist is the CNI configuration of one node. Masquerading is the boot unit's: the bridge plugin's own
// would hide a pod's address from pods on other nodes.
func conflist(prefix netip.Prefix) ([]byte, error) {
	type m = map[string]any
	return json.MarshalIndent(m{
		"cniVersion": "1.0.0",
		"name":       "primary",
		"plugins": []m{
			{
				"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
				"ipam": m{
					"type": "host-local", "ranges": [][]m{{{"subnet": prefix.String()}}},
					"routes": []m{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "backend": "nftables", "capabilities": m{"portMappings": true}},
		},
	}, "", "  ")
}

func (c Cluster) configureNode(ctx context.Context, p nodePrefix, peers string) error {
	config, err := conflist(p.Prefix)
	if err != nil {
		return err
	}
	for path, content := range map[string]string{
		"/etc/multinet-primary/cluster-cidr": podSubnet + "\n",
		"/etc/multinet-primary/peers":        peers,
		"/etc/cni/net.d/10-primary.conflist": string(config),
	} {
		// Renamed into place: containerd watches the folder and would read half a file.
		script := `mkdir -p "$(dirname "$0")" && cat >"$0.tmp" && mv "$0.tmp" "$0"`
		_, err := c.Docker.Pipe(ctx, strings.NewReader(content), "exec", "-i", p.Node, "sh", "-c", script, path)
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	if _, err := c.Docker.Run(ctx, "exec", p.Node, "systemctl", "restart", "multinet-primary"); err != nil {
		return fmt.Errorf("setting up routes: %w", err)
	}
	return nil
}
