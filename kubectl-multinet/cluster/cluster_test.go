package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// server answers lists as an API server does, in pages of one object.
func server(t *testing.T, known bool) (url string, requests *[]string) {
	t.Helper()
	requests = &[]string{}
	answer := func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.URL.Path+"?"+r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasPrefix(r.URL.Path, "/apis/k8s.cni.cncf.io/v1/") && known:
			fmt.Fprint(w, `{"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinitionList", "metadata": {}, "items": [
				{"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": "a", "namespace": "demo"}, "spec": {"config": "{}"}}]}`)
		case strings.HasSuffix(r.URL.Path, "/pods") && r.URL.Query().Get("continue") == "":
			fmt.Fprint(w, podList("b", "more"))
		case strings.HasSuffix(r.URL.Path, "/pods"):
			fmt.Fprint(w, podList("c", ""))
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}`)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func podList(name, next string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "PodList", "metadata": {"continue": %q}, "items": [{"apiVersion": "v1", "kind": "Pod",
		"metadata": {"name": %q, "namespace": "demo", "annotations": {"k8s.v1.cni.cncf.io/networks": "a"}}}]}`, next, name)
}

func kubeconfig(t *testing.T, url string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "one", "clusters": [{"name": "c", "cluster": {"server": %q}}],
		"contexts": [{"name": "one", "context": {"cluster": "c", "namespace": "demo"}}, {"name": "two", "context": {"cluster": "c"}}]}`, url)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		connection Connection
		known      bool
		// namespaces is the part of the paths that names one.
		namespaces string
		want       []string
	}{
		"the namespace of the context": {Connection{}, true, "namespaces/demo/", []string{"a", "b", "c"}},
		"another context":              {Connection{Context: "two"}, true, "namespaces/default/", []string{"a", "b", "c"}},
		"another namespace":            {Connection{Namespace: "other"}, true, "namespaces/other/", []string{"a", "b", "c"}},
		"all namespaces":               {Connection{AllNamespaces: true}, true, "", []string{"a", "b", "c"}},
		"no such definitions":          {Connection{}, false, "namespaces/demo/", []string{"b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := server(t, c.known)
			c.connection.Kubeconfig = kubeconfig(t, url)
			objects, err := Read(t.Context(), c.connection)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, o := range objects {
				names = append(names, o.Name)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			want := []string{
				"/apis/k8s.cni.cncf.io/v1/" + c.namespaces + "network-attachment-definitions?limit=500",
				"/api/v1/" + c.namespaces + "pods?limit=500", "/api/v1/" + c.namespaces + "pods?continue=more&limit=500",
			}
			if diff := cmp.Diff(want, *requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadFails(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer s.Close()
	_, err := Read(t.Context(), Connection{Kubeconfig: kubeconfig(t, s.URL)})
	if err == nil || !strings.HasPrefix(err.Error(), "listing network-attachment-definitions: ") {
		t.Errorf("error is %v", err)
	}
}
