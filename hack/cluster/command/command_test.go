package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	cmd := New("sh", "-c", `read x; echo "$x $Y"`)
	cmd.Env, cmd.Stdin = []string{"Y=there"}, strings.NewReader("hello\n")
	if out, err := cmd.Run(t.Context()); err != nil || out != "hello there\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestRunSaysWhy(t *testing.T) {
	_, err := New("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i >&2; done; exit 3").Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "line 9") || strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v", err)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := New("sleep", "60").Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestTitleIsShort(t *testing.T) {
	if got := New("a", "1", "2", "3", "4", "5", "6", "7").title(); got != "a 1 2 3 4 5 …" {
		t.Errorf("got %q", got)
	}
}
