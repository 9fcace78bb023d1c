package kindcluster

import (
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/exec"
	kindlog "sigs.k8s.io/kind/pkg/log"

	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// logger shows kind's own steps among the tool's.
type logger struct{ log *progress.Log }

// Warn and the methods below are what kind asks of a logger.
func (l logger) Warn(message string) { l.Info(message) }

// Warnf is Warn with a format.
func (l logger) Warnf(format string, args ...any) { l.Infof(format, args...) }

// Error is for what kind then returns as an error, too.
func (l logger) Error(message string) { l.Info(message) }

// Errorf is Error with a format.
func (l logger) Errorf(format string, args ...any) { l.Infof(format, args...) }

// Enabled is true: V has dropped the rest.
func (l logger) Enabled() bool { return true }

// Infof is Info with a format.
func (l logger) Infof(format string, args ...any) { l.Info(fmt.Sprintf(format, args...)) }

// Info notes the end of a step; kind announces its beginning as well, marked with a dot.
func (l logger) Info(message string) {
	if text := strings.TrimSpace(message); text != "" && !strings.HasPrefix(text, "•") {
		l.log.Note("kind: %s", text)
	}
}

// V drops what kind considers details.
func (l logger) V(level kindlog.Level) kindlog.InfoLogger {
	if level > 0 {
		return kindlog.NoopInfoLogger{}
	}
	return l
}

// withOutput adds the end of what the failed program printed, which kind's errors carry but don't show.
func withOutput(err error) error {
	var run *exec.RunError
	if !errors.As(err, &run) {
		return err
	}
	output := strings.TrimSpace(string(run.Output))
	const enough = 2000
	return fmt.Errorf("%w\n%s", err, output[max(0, len(output)-enough):])
}
