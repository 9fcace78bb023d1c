package binaries

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/multinet-dev/multinet/hack/cluster/command"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// Builder builds programs into a cache folder.
type Builder struct {
	Cache string // <cache>/binaries/<module>-<version>-<key>/<program>
	Log   *progress.Log
}

// Folder is where the programs of a module are.
func (b Builder) Folder(m Module) string {
	return filepath.Join(b.Cache, "binaries", fmt.Sprintf("%s-%s-%s", m.Name, m.Version, m.Key))
}

// Ensure builds those of the named programs (all, if none is named) that the cache lacks.
// A build that was interrupted goes on where it stopped.
func (b Builder) Ensure(ctx context.Context, m Module, names ...string) error {
	for _, t := range m.Tools {
		if len(names) > 0 && !slices.Contains(names, t.Binary) {
			continue
		}
		if err := b.ensure(ctx, m, t); err != nil {
			return fmt.Errorf("building %s %s: %w", t.Binary, m.Version, err)
		}
	}
	return nil
}

func (b Builder) ensure(ctx context.Context, m Module, t Tool) error {
	target := filepath.Join(b.Folder(m), t.Binary)
	if _, err := os.Stat(target); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer b.Log.Step("building %s %s", t.Binary, m.Version)()
	return Build(ctx, m.Dir, t.Package, target, m.Tags, m.LDFlags)
}

// Build builds one static program and puts it in place only when it is complete.
func Build(ctx context.Context, dir, pkg, target, tags, ldflags string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	partial := target + ".partial"
	cmd := command.New("go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", ldflags, "-o", partial, pkg)
	cmd.Dir = dir
	// A go.work above the checkout would replace these modules' own versions.
	cmd.Env = []string{"CGO_ENABLED=0", "GOWORK=off"}
	if _, err := cmd.Run(ctx); err != nil {
		return err
	}
	return os.Rename(partial, target)
}
