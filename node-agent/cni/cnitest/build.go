package cnitest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the plugin, as the agent's image has it, and the reference plugins of given packages below
// github.com/containernetworking/plugins/plugins, all static, into a folder. repository is the checkout.
func Build(ctx context.Context, repository, dir string, reference ...string) error {
	if err := build(ctx, repository, filepath.Join(dir, "multinet-cni"), "./node-agent/multinet-cni"); err != nil {
		return err
	}
	tools := filepath.Join(repository, "hack", "node-image", "cni-plugins")
	for _, name := range reference {
		if err := build(ctx, tools, filepath.Join(dir, filepath.Base(name)), "github.com/containernetworking/plugins/plugins/"+name); err != nil {
			return err
		}
	}
	return nil
}

func build(ctx context.Context, folder, to, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, pkg)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return nil
}
