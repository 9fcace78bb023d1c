package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplaceObject(t *testing.T) {
	const (
		namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a"
		old       = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  namespace: a\ndata: {k: old}"
		fresh     = "# says why\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: a}\ndata: {k: new}\n"
		other     = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  namespace: b\n"
		separator = "\n---\n"
	)
	for name, test := range map[string]struct {
		stream, want string
		refused      bool
	}{
		"in the middle":            {stream: namespace + separator + old + separator + other, want: namespace + separator + fresh + separator + other},
		"alone":                    {stream: old, want: fresh},
		"of another namespace":     {stream: namespace + separator + other, refused: true},
		"a stream that is no YAML": {stream: namespace + separator + "a: b: c", refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := replaceObject([]byte(test.stream), []byte(fresh))
			if (err != nil) != test.refused {
				t.Fatalf("error %v, refusal wanted: %v", err, test.refused)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("unexpected stream (-want +got):\n%s", diff)
			}
		})
	}
}
