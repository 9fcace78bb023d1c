// Package apt installs Debian packages for those steps that need a program the machine lacks.
package apt

import (
	"context"
	"fmt"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// Install installs one package. The lists are brought up to date first: container images and fresh virtual
// machines come without any.
func Install(ctx context.Context, pkg string) error {
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", pkg}} {
		cmd := command.New("apt-get", args...)
		cmd.Env = []string{"DEBIAN_FRONTEND=noninteractive"}
		if _, err := cmd.Run(ctx); err != nil {
			return fmt.Errorf("installing Debian package %s: %w", pkg, err)
		}
	}
	return nil
}
