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
	ipam := object{"quarantine": "60s", "retention": "24h"}
	vnis := object{"first": int64(5000000), "last": int64(5999999)}
	for name, c := range map[string]struct{ edit, want edits }{
		"macvlan": {nil, edits{"spec.macvlan.mode": "Bridge"}},
		"overlay": {rackLocal(object{"overlay": object{}}),
			rackLocal(object{"topologyKey": v1alpha1.DefaultTopologyKey, "overlay": object{"vnis": vnis, "port": int64(4789)}})},
		"uplink of racks": {rackLocal(object{"uplink": object{"names": list{"eth1"}}}),
			rackLocal(object{"topologyKey": v1alpha1.DefaultTopologyKey, "uplink": object{"names": list{"eth1"}}})},
		"sriov": {sriov(), sriov(object{"spoofCheck": true, "trust": false, "deviceType": "NetDevice"})},
		"sriov with its own": {sriov(object{"spoofCheck": false, "trust": true, "deviceType": "VFIO"}),
			sriov(object{"spoofCheck": false, "trust": true, "deviceType": "VFIO"})},
	} {
		t.Run(name, func(t *testing.T) {
			network, want := valid("Network"), valid("Network")
			c.edit.apply(t, network)
			c.want.apply(t, want)
			for field, value := range ipam {
				edits{"spec.ipam." + field: value}.apply(t, want)
			}
			if err := s.admin.Create(t.Context(), network, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Object["spec"], network.Object["spec"]); diff != "" {
				t.Errorf("spec with defaults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTypedOverlayIsDefaulted shows that a Go client that leaves the fields alone gets the defaults as well: a struct
// that is written out with zeros would be refused.
func TestTypedOverlayIsDefaulted(t *testing.T) {
	s := requireAPIServer(t)
	network := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "typed"}, Spec: v1alpha1.NetworkSpec{
		Type: v1alpha1.NetworkTypeRackLocal, RackLocal: &v1alpha1.RackLocalSpec{Overlay: &v1alpha1.RackOverlaySpec{}}}}
	if err := s.admin.Create(t.Context(), network, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	want := &v1alpha1.RackLocalSpec{TopologyKey: v1alpha1.DefaultTopologyKey,
		Overlay: &v1alpha1.RackOverlaySpec{VNIs: v1alpha1.VNIRange{First: 5000000, Last: 5999999}, Port: 4789}}
	if diff := cmp.Diff(want, network.Spec.RackLocal); diff != "" {
		t.Errorf("spec.rackLocal with defaults (-want +got):\n%s", diff)
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
	b.Spec.Type, b.Spec.Macvlan, b.Spec.RackLocal = v1alpha1.NetworkTypeRackLocal, nil, &v1alpha1.AttachmentRack{Rack: "r1"}
	for _, pna := range []*v1alpha1.PodNetworkAttachment{a, b} {
		if err := s.admin.Create(t.Context(), pna); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.removeAttachment(t, pna) })
	}
	for field, want := range map[string]struct{ value, name string }{
		"spec.nodeName": {"n1", a.Name}, "spec.networkName": {"rack", b.Name}, "spec.pod.name": {"q", b.Name},
		"spec.rackLocal.rack": {"r1", b.Name},
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
		"networks": valid("Network"), "qosclasses": valid("QoSClass"), "podnetworkattachments": valid("PodNetworkAttachment"),
		"addressclaims": valid("AddressClaim")}
	edits{"spec.addresses": list{object{"address": "10.20.0.5/24"}}, "spec.rackLocal": object{"rack": "r1"}, "spec.qos": object{"className": "gold"}}.apply(t, objects["podnetworkattachments"])
	edits{"spec.mac": "02:00:00:00:00:09"}.apply(t, objects["addressclaims"])
	edits{"spec.egress": object{"guaranteed": "1G", "maximum": "2G"}, "spec.ingress": object{"maximum": "3G"}, "spec.priority": int64(5), "spec.cost": int64(100),
		"spec.description": "for few"}.apply(t, objects["qosclasses"])
	conditions := list{
		object{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
		object{"type": "QoSEnforced", "status": "False", "reason": "ForeignQdisc", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
		object{"type": "RolledOut", "status": "False", "reason": "RestartPods", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
		object{"type": "Reserved", "status": "False", "reason": "NetworkNotFound", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"},
	}
	for name, o := range objects {
		if err := s.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.admin.Delete(context.WithoutCancel(t.Context()), o) })
		edits{"status.conditions": conditions}.apply(t, o)
		switch name {
		case "networks":
			edits{"status.nodes": int64(2), "status.attachments": int64(7), "status.rackSummary": "r1, r2", "status.bandwidthSummary": "1G/2G out, 0/2G in"}.apply(t, o)
		case "podnetworkattachments":
			edits{"status.mac": "02:00:00:00:00:07"}.apply(t, o)
		case "qosclasses":
			edits{"status.attachments": int64(7), "status.current": int64(5), "status.enforced": int64(4), "status.restart": int64(2)}.apply(t, o)
		}
		if err := s.admin.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]struct {
		columns []string
		cells   []any
	}{
		"networks": {[]string{"Name", "Type", "Ready", "Nodes", "Attachments", "Racks", "Guaranteed", "Range", "Range-2", "Reason", "From", "Age"},
			[]any{"storage", "Macvlan", "True", int64(2), int64(7), "r1, r2", "1G/2G out, 0/2G in", "10.20.0.0/24", "fd00:20::/64", "Ready"}},
		"qosclasses": {[]string{"Name", "Guaranteed", "Maximum", "Priority", "Cost", "Attachments", "Current", "Enforced", "Rolled-Out",
			"Guaranteed-In", "Maximum-In", "Reason", "Description", "Age"},
			[]any{"gold", "1G", "2G", int64(5), int64(100), int64(7), int64(5), int64(4), "False", nil, "3G", "RestartPods", "for few"}},
		"addressclaims": {[]string{"Name", "Pod", "Network", "Address", "Address-2", "Reserved", "MAC", "Reason", "Age"},
			[]any{"p-net1", "p", "storage", "10.20.0.9", "fd00:20::9", "False", "02:00:00:00:00:09", "NetworkNotFound"}},
		"podnetworkattachments": {[]string{"Name", "Pod", "Network", "Interface", "Address", "Address-2", "Node", "Rack", "Ready", "MAC", "Uplink", "Reason", "QoS", "QoS-Enforced", "Age"},
			[]any{"p-0123456789", "p", "storage", "net1", "10.20.0.5/24", nil, "n1", "r1", "True", "02:00:00:00:00:07", nil, "Ready", "gold", "False"}},
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
