// Package progress tells the user what is going on, how long it took, and where the time went.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Log prints steps with the time since the start of the program.
type Log struct {
	out   io.Writer
	now   func() time.Time
	start time.Time

	mu    sync.Mutex
	steps []step
}

type step struct {
	name  string
	taken time.Duration
}

// New returns a log that writes to out and counts from now.
func New(out io.Writer, now func() time.Time) *Log {
	return &Log{out: out, now: now, start: now()}
}

// Step announces a step; the returned function says that it is over.
func (l *Log) Step(format string, args ...any) func() {
	name, began := fmt.Sprintf(format, args...), l.now()
	l.line("%s …", name)
	return func() {
		taken := l.now().Sub(began)
		l.mu.Lock()
		l.steps = append(l.steps, step{name, taken})
		l.mu.Unlock()
		l.line("%s: done in %s", name, seconds(taken))
	}
}

// Note prints one fact without a duration.
func (l *Log) Note(format string, args ...any) { l.line(format, args...) }

// Summary prints every finished step that took a second or more, and the total.
func (l *Log) Summary() {
	l.mu.Lock()
	steps := append([]step(nil), l.steps...)
	l.mu.Unlock()
	for _, s := range steps {
		if s.taken >= time.Second {
			fmt.Fprintf(l.out, "%8s  %s\n", seconds(s.taken), s.name)
		}
	}
	fmt.Fprintf(l.out, "%8s  in all\n", seconds(l.now().Sub(l.start)))
}

func (l *Log) line(format string, args ...any) {
	elapsed := seconds(l.now().Sub(l.start))
	fmt.Fprintf(l.out, "[%s] %s\n", elapsed, fmt.Sprintf(format, args...))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
