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

func (l logger) Warn(message string)               { l.Info(message) }
func (l logger) Warnf(format string, args ...any)  { l.Infof(format, args...) }
func (l logger) Error(message string)              { l.Info(message) }
func (l logger) Errorf(format string, args ...any) { l.Infof(format, args...) }
func (l logger) Enabled() bool                     { return true }
func (l logger) Infof(format string, args ...any)  { l.Info(fmt.Sprintf(format, args...)) }
func (l logger) Info(message string) {
	// kind announces a step and marks its end; the end says it all.
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
