package v1alpha1_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestDefaults(t *testing.T) {
	s := requireAPIServer(t)
	network := valid("Network")
	if err := s.admin.Create(t.Context(), network, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	want := valid("Network").Object["spec"].(object)
	want["macvlan"].(object)["mode"] = "Bridge"
	want["ipam"].(object)["quarantine"] = "60s"
	if diff := cmp.Diff(want, network.Object["spec"]); diff != "" {
		t.Errorf("spec with defaults (-want +got):\n%s", diff)
	}
}

// TestStatusIsASubresource shows that neither write reaches the part of the other.
func TestStatusIsASubresource(t *testing.T) {
	s := requireAPIServer(t)
	network := valid("Network")
	if err := s.admin.Create(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), network) })

	edits{"status.nodes": int64(3), "status.attachments": int64(2)}.apply(t, network)
	if err := s.admin.Update(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	if nodes, found, _ := unstructured.NestedInt64(network.Object, "status", "nodes"); found {
		t.Errorf("an update of the object wrote status.nodes = %d", nodes)
	}
	edits{"status": object{"nodes": int64(3), "attachments": int64(2)}, "spec.mtu": int64(9000)}.apply(t, network)
	if err := s.admin.Status().Update(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	if mtu, found, _ := unstructured.NestedInt64(network.Object, "spec", "mtu"); found {
		t.Errorf("an update of the status wrote spec.mtu = %d", mtu)
	}
}

func TestAttachmentsAreSelectableByField(t *testing.T) {
	s := requireAPIServer(t)
	a, b := newAttachment("n1"), newAttachment("n2")
	b.Spec.NetworkName, b.Spec.Pod.Name = "rack", "q"
	for _, pna := range []*v1alpha1.PodNetworkAttachment{a, b} {
		if err := s.admin.Create(t.Context(), pna); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.removeAttachment(t, pna) })
	}
	for field, want := range map[string]struct{ value, name string }{
		"spec.nodeName": {"n1", a.Name}, "spec.networkName": {"rack", b.Name}, "spec.pod.name": {"q", b.Name},
	} {
		t.Run(field, func(t *testing.T) {
			var found v1alpha1.PodNetworkAttachmentList
			if err := s.admin.List(t.Context(), &found, client.MatchingFields{field: want.value}); err != nil {
				t.Fatal(err)
			}
			if len(found.Items) != 1 || found.Items[0].Name != want.name {
				t.Errorf("%s=%s selects %d objects, want only %s", field, want.value, len(found.Items), want.name)
			}
		})
	}
}

// TestColumns asks for what kubectl get shows.
func TestColumns(t *testing.T) {
	s := requireAPIServer(t)
	objects := map[string]*unstructured.Unstructured{
		"networks": valid("Network"), "qosclasses": valid("QoSClass"), "podnetworkattachments": valid("PodNetworkAttachment")}
	edits{"spec.addresses": list{object{"address": "10.20.0.5/24"}}}.apply(t, objects["podnetworkattachments"])
	edits{"spec.egress": object{"guaranteed": "1G", "maximum": "2G"}, "spec.priority": int64(5)}.apply(t, objects["qosclasses"])
	ready := object{"conditions": list{object{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}}
	for name, o := range objects {
		if err := s.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), o) })
		if name == "qosclasses" {
			continue
		}
		edits{"status": ready}.apply(t, o)
		if name == "networks" {
			edits{"status.nodes": int64(2), "status.attachments": int64(7)}.apply(t, o)
		}
		if err := s.admin.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct {
		columns []string
		cells   []any
	}{
		"networks": {[]string{"Name", "Type", "Ready", "Nodes", "Attachments", "Range", "Range-2", "Reason", "Age"},
			[]any{"storage", "Macvlan", "True", int64(2), int64(7), "10.20.0.0/24", "fd00:20::/64", "Ready"}},
		"qosclasses": {[]string{"Name", "Guaranteed", "Maximum", "Priority", "Age"},
			[]any{"gold", "1G", "2G", int64(5)}},
		"podnetworkattachments": {[]string{"Name", "Pod", "Network", "Interface", "Address", "Address-2", "Node", "Ready", "MAC", "Uplink", "Reason", "Age"},
			[]any{"p-0123456789", "p", "storage", "net1", "10.20.0.5/24", nil, "n1", "True", "02:00:00:00:00:01", nil, "Ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := s.table(t, name, objects[name].GetNamespace())
			var columns []string
			for _, c := range table.ColumnDefinitions {
				columns = append(columns, c.Name)
			}
			if diff := cmp.Diff(want.columns, columns); diff != "" {
				t.Errorf("columns (-want +got):\n%s", diff)
			}
			row := slices.IndexFunc(table.Rows, func(r metav1.TableRow) bool { return r.Cells[0] == want.cells[0] })
			if row < 0 {
				t.Fatalf("no row %v", want.cells[0])
			}
			// The last column is the age.
			if diff := cmp.Diff(want.cells, table.Rows[row].Cells[:len(want.cells)]); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
}

func (s *apiServer) table(t *testing.T, resource, namespace string) *metav1.Table {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.GroupVersion, config.APIPath = &v1alpha1.GroupVersion, "/apis"
	config.AcceptContentTypes = "application/json;as=Table;v=v1;g=meta.k8s.io"
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request := c.Get().Resource(resource)
	if namespace != "" {
		request.Namespace(namespace)
	}
	table := &metav1.Table{}
	if err := request.Do(t.Context()).Into(table); err != nil {
		t.Fatal(err)
	}
	return table
}
