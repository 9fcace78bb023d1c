package nodeimage

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// containerdConfig keeps containerd from lowering oom scores, which needs CAP_SYS_RESOURCE.
func containerdConfig(config []byte) ([]byte, error) {
	const before, after = "restrict_oom_score_adj = false", "restrict_oom_score_adj = true"
	if !strings.Contains(string(config), before) {
		return nil, fmt.Errorf("kind's containerd config no longer says %q", before)
	}
	return []byte(strings.Replace(string(config), before, after, 1)), nil
}

// baseSpec is what kind's Dockerfile makes of `ctr oci spec`.
func (b Builder) baseSpec(ctx context.Context) ([]byte, error) {
	ctr := filepath.Join(b.Programs.Folder(b.Set.Containerd), "ctr")
	out, err := command.New(ctr, "oci", "spec").Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking ctr for the base OCI spec: %w", err)
	}
	return withProductHook([]byte(out))
}

// withProductHook hides the host's product name and drops limits, which containers inherit from the node.
func withProductHook(document []byte) ([]byte, error) {
	var spec map[string]any
	if err := json.Unmarshal(document, &spec); err != nil {
		return nil, fmt.Errorf("reading base OCI spec: %w", err)
	}
	if process, ok := spec["process"].(map[string]any); ok {
		delete(process, "rlimits")
	}
	spec["hooks"] = map[string]any{"createContainer": []any{map[string]any{"path": "/kind/bin/mount-product-files.sh"}}}
	return json.Marshal(spec)
}
