package apt

import (
	"context"
	"fmt"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// Mirror is where this machine gets Debian from. Empty: its configuration names none that has the suite.
func Mirror(ctx context.Context, suite string) (string, error) {
	out, err := command.New("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)",
		"Identifier: Packages").Run(ctx)
	if err != nil {
		return "", fmt.Errorf("asking apt for the machine's mirror: %w", err)
	}
	return chooseMirror(out, suite), nil
}

// chooseMirror prefers a source of the suite; any Debian archive has the others' suites as well, except the
// security and updates archives.
func chooseMirror(indexTargets, suite string) string {
	mirror := ""
	for line := range strings.Lines(indexTargets) {
		field := strings.Split(strings.TrimSpace(line), "|")
		if len(field) != 3 || field[0] != "Debian" {
			continue
		}
		if field[1] == suite {
			return field[2]
		}
		if mirror == "" && !strings.Contains(field[1], "-") {
			mirror = field[2]
		}
	}
	return mirror
}
