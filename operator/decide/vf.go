package decide

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/deviceattribute"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// expressions are the compiled ones of spec.sriov.device.expression.
var expressions = cel.NewCache(256, cel.Features{EnableConsumableCapacity: true})

// attributeTest is one condition on an attribute of a device, for the scheduler and for us.
type attributeTest struct {
	domain, name string
	// condition is CEL behind the attribute.
	condition string
	holds     func(resourcev1.DeviceAttribute) bool
}

func isText[T ~string](name string, values ...T) attributeTest {
	return isTextOf(v1alpha1.DriverName, name, values)
}

func isTextOf[T ~string](domain, name string, values []T) attributeTest {
	return attributeTest{
		domain: domain, name: name, condition: "in " + list(values),
		holds: func(a resourcev1.DeviceAttribute) bool {
			return a.StringValue != nil && slices.Contains(values, T(*a.StringValue))
		},
	}
}

// list is one of CEL.
func list[T ~string](values []T) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(string(v)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// term tests for presence first: an expression that fails on one device makes the scheduler give up on the whole pod.
func (t attributeTest) term() string {
	attributes := fmt.Sprintf("device.attributes[%q]", t.domain)
	return fmt.Sprintf("%q in %s && %s[%q] %s", t.name, attributes, attributes, t.name, t.condition)
}

func isNumber(domain, name, operator string, value int64, holds func(int64) bool) attributeTest {
	return attributeTest{
		domain: domain, name: name, condition: fmt.Sprintf("%s %d", operator, value),
		holds: func(a resourcev1.DeviceAttribute) bool { return a.IntValue != nil && holds(*a.IntValue) },
	}
}

func isAtLeast(name string, quantity *resource.Quantity) attributeTest {
	least := quantity.Value()
	return isNumber(v1alpha1.DriverName, name, ">=", least, func(n int64) bool { return n >= least })
}

// vfTests are those of all fields but the expression; none where the Network has no VFs.
func vfTests(network *v1alpha1.Network) (tests []attributeTest) {
	if network.Spec.SRIOV == nil {
		return nil
	}
	device := &network.Spec.SRIOV.Device
	if len(device.PFNames) > 0 {
		tests = append(tests, isText(v1alpha1.DeviceAttributePF, device.PFNames...))
	}
	for name, value := range map[string]string{
		v1alpha1.DeviceAttributeVendor: device.Vendor, v1alpha1.DeviceAttributeDevice: device.Device, v1alpha1.DeviceAttributeDriver: device.Driver,
	} {
		if value != "" {
			tests = append(tests, isText(name, value))
		}
	}
	if device.MinLinkSpeed != nil {
		tests = append(tests, isAtLeast(v1alpha1.DeviceAttributeLinkSpeed, device.MinLinkSpeed))
	}
	if device.NUMANode != nil {
		domain, name, _ := strings.Cut(string(deviceattribute.StandardDeviceAttributeNUMANode), "/")
		node := int64(*device.NUMANode)
		tests = append(tests, isNumber(domain, name, "==", node, func(n int64) bool { return n == node }))
	}
	// The expression of a DeviceClass must be the same each time.
	slices.SortFunc(tests, func(a, b attributeTest) int { return strings.Compare(a.name, b.name) })
	return tests
}

// deviceTests are those of what the Network selects devices by, but for an expression.
func deviceTests(network *v1alpha1.Network) []attributeTest {
	return append(uplinkTests(network), vfTests(network)...)
}

// testTerms are the terms of the DeviceClass's expression.
func testTerms(network *v1alpha1.Network) (terms []string) {
	for _, t := range deviceTests(network) {
		terms = append(terms, t.term())
	}
	if sriov := network.Spec.SRIOV; sriov != nil && sriov.Device.Expression != "" {
		terms = append(terms, "("+sriov.Device.Expression+")")
	}
	return terms
}

// matchesTests is testTerms in Go.
func matchesTests(network *v1alpha1.Network, tests []attributeTest, device resourcev1.Device) bool {
	for _, t := range tests {
		if a, found := attribute(device, t.domain, t.name); !found || !t.holds(a) {
			return false
		}
	}
	sriov := network.Spec.SRIOV
	if sriov == nil || sriov.Device.Expression == "" {
		return true
	}
	compiled := expressions.GetOrCompile(sriov.Device.Expression)
	if compiled.Error != nil {
		return false
	}
	holds, _, err := compiled.DeviceMatches(context.Background(), cel.Device{
		Driver: v1alpha1.DriverName, Attributes: device.Attributes, Capacity: device.Capacity,
	})
	return err == nil && holds
}

// checkVF finds what the CRD's rules cannot.
func checkVF(spec *v1alpha1.NetworkSpec) (problems []error) {
	if spec.SRIOV == nil {
		return nil
	}
	if text := spec.SRIOV.Device.Expression; text != "" {
		if compiled := expressions.GetOrCompile(text); compiled.Error != nil {
			problems = append(problems, fmt.Errorf("spec.sriov.device.expression: %w", compiled.Error))
		}
	}
	const megabit = 1_000_000
	for field, rate := range map[string]*resource.Quantity{"minTxRate": spec.SRIOV.MinTxRate, "maxTxRate": spec.SRIOV.MaxTxRate} {
		if rate != nil && rate.Value()%megabit != 0 {
			problems = append(problems, fmt.Errorf("spec.sriov.%s %s is not a whole number of Mbit/s, for example 100M", field, rate))
		}
	}
	if spec.SRIOV.DeviceType == v1alpha1.VFDeviceTypeVFIO && len(spec.Routes) > 0 {
		problems = append(problems, fmt.Errorf("spec.routes cannot be had with spec.sriov.deviceType VFIO: the pod has no interface for them"))
	}
	return problems
}
