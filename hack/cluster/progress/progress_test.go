package progress

import (
	"strings"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	var out strings.Builder
	clock := time.Unix(0, 0)
	log := New(&out, func() time.Time { return clock })
	done := log.Step("building %s", "kubelet")
	clock = clock.Add(1500 * time.Millisecond)
	done()
	log.Step("nothing much")()
	log.Summary()
	want := `[0.0s] building kubelet …
[1.5s] building kubelet: done in 1.5s
[1.5s] nothing much …
[1.5s] nothing much: done in 0.0s
    1.5s  building kubelet
    1.5s  in all
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
