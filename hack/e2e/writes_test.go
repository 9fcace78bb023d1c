//go:build e2e

package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/demo/cluster"
)

// The budget of API writes of our two programs over the life of an attachment; the one on the claim comes on top.
const (
	writeBudget      = 4
	writeBudgetClaim = 1
)

// write is one request of the audit log.
type write struct {
	Stage string `json:"stage"`
	Verb  string `json:"verb"`
	User  struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	Response struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// writer is the user's short name, or "" for users that are not ours.
func (w write) writer() string {
	name, ours := strings.CutPrefix(w.User.Username, "system:serviceaccount:"+cluster.Namespace+":multinet-")
	if !ours {
		return ""
	}
	return name
}

// what is the object's kind of a request, with everything that makes two requests different in cost.
func (w write) what() string {
	what := w.Object.Resource
	if w.Object.Subresource != "" {
		what += "/" + w.Object.Subresource
	}
	if w.Response.Code >= 300 {
		what += fmt.Sprintf(" (refused: %d)", w.Response.Code)
	}
	return fmt.Sprintf("%-9s %-7s %s", w.writer(), w.Verb, what)
}

func TestAPIWritesPerAttachment(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	const pods = 10
	s.network("counted", networkSpec("eth1"))
	start, err := os.Stat(tool.AuditLog())
	s.must(err)
	names := s.createMany(pods, "pod", "", "counted")
	s.waitReady(time.Minute, names...)
	s.remove(false, names...)
	s.assertClean()

	writes, err := readWrites(tool.AuditLog(), start.Size())
	s.must(err)
	perAttachment, shared := map[string]int{}, map[string]int{}
	total, onClaims := 0, 0
	for _, w := range writes {
		// A template is made once for a Network and a namespace, and all its later pods use it.
		if w.Object.Namespace != s.namespace || w.Object.Resource == "resourceclaimtemplates" {
			shared[w.what()]++
			continue
		}
		perAttachment[w.what()]++
		total++
		if w.Object.Resource == "resourceclaims" {
			onClaims++
		}
	}
	report(t, fmt.Sprintf("writes for %d attachments from creation to release", pods), perAttachment, pods)
	report(t, "other writes meanwhile, which all attachments share", shared, 1)
	if total == 0 {
		t.Fatal("the audit log has no writes of ours: nothing was counted")
	}
	if other := total - onClaims; other > writeBudget*pods || onClaims > writeBudgetClaim*pods {
		t.Errorf("%.1f writes per attachment and %.1f on its claim, allowed are %d and %d",
			float64(other)/pods, float64(onClaims)/pods, writeBudget, writeBudgetClaim)
	}
}

// readWrites reads the audit log from an offset on. A file that became shorter was rotated.
func readWrites(path string, offset int64) ([]write, error) {
	log, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer log.Close()
	if info, err := log.Stat(); err != nil || info.Size() < offset {
		return nil, fmt.Errorf("the audit log was rotated meanwhile (%v)", err)
	}
	if _, err := log.Seek(offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	var writes []write
	for reader := bufio.NewReader(log); ; {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return writes, nil // a line without end is being written
		}
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		var w write
		if err := json.Unmarshal(line, &w); err != nil {
			return nil, fmt.Errorf("audit log: %w", err)
		}
		if w.Stage == "ResponseComplete" && w.writer() != "" {
			writes = append(writes, w)
		}
	}
}

func report(t *testing.T, title string, counts map[string]int, attachments int) {
	var table strings.Builder
	total := 0
	for _, what := range slices.SortedFunc(maps.Keys(counts), cmp.Compare[string]) {
		fmt.Fprintf(&table, "\n  %6.2f  %s", float64(counts[what])/float64(attachments), what)
		total += counts[what]
	}
	t.Logf("%s:%s\n  %6.2f  in all", title, table.String(), float64(total)/float64(attachments))
}
