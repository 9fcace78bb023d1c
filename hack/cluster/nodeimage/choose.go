package nodeimage

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"
)

// Published is the node image that kind publishes for its version.
const Published = defaults.Image

// Variable forces one way of getting the node image.
const Variable = "MULTINET_NODE_IMAGE"

// Way is how a node image is got.
type Way string

// The ways; Auto leaves it to Choose.
const (
	Auto  Way = ""
	Pull  Way = "pull"
	Build Way = "build"
)

// ParseWay reads the flag and the variable; the flag wins.
func ParseWay(buildFlag bool, variable string) (Way, error) {
	if buildFlag {
		return Build, nil
	}
	switch w := Way(variable); w {
	case Auto, Pull, Build:
		return w, nil
	}
	return Auto, fmt.Errorf("%s=%s: it must be %q or %q, or not set", Variable, variable, Build, Pull)
}

// Facts are what the choice depends on. Registry is asked only when the others leave it open.
type Facts struct {
	Forced      Way
	HasPulled   bool // the daemon has the published image
	HasBuilt    bool // the daemon or the cache has the built one
	OwnDocker   bool // the tool started the daemon: no Docker worked here
	Registry    func() bool
	PullSucceed func() error
}

// Choose takes what is already there first, then the registry if it answers, then a build.
func Choose(f Facts) (Way, error) {
	switch {
	case f.Forced == Build, f.Forced == Auto && f.HasBuilt:
		return Build, nil
	case f.HasPulled:
		return Pull, nil
	case f.Forced == Pull:
		if err := f.PullSucceed(); err != nil {
			return Auto, fmt.Errorf("%s=%s, but the image can't be pulled: %w", Variable, Pull, err)
		}
		return Pull, nil
	case !f.OwnDocker && f.Registry() && f.pulls():
		return Pull, nil
	}
	return Build, nil
}

// pulls leaves the reason to the tool's log: building is the answer to every one.
func (f Facts) pulls() bool { return f.PullSucceed() == nil }

const pullLimit = 5 * time.Minute

// TryPull pulls the published image within a limit: a registry may answer and then be too slow to be of use.
func (b Builder) TryPull(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	defer b.Log.Step("pulling %s", Published)()
	if _, err := b.Docker.Run(ctx, "pull", "--quiet", Published); err != nil {
		b.Log.Note("the published node image can't be pulled: %v", err)
		return err
	}
	return nil
}

// RegistryAnswers is a quick look, since a pull from an unreachable registry takes long to give up.
func RegistryAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://registry-1.docker.io/v2/", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusUnauthorized
}
