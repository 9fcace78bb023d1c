package v1alpha1

import "strings"

// CNISpec configures a Network of type CNI: the interface is made by plugins of the node, as root and as their configuration
// says. Only plugins run that cniPlugins of the node agents' configuration lists, and pods go only to nodes that have all of them.
type CNISpec struct {
	// config is a CNI configuration, or a list of them, in JSON, with a name; IPAM plugins are named in it as ever. Plugins get
	// it as it stands. A change applies to new pods.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=16384
	// +required
	Config string `json:"config"`

	// resourceName is the extended resource of a device plugin, such as intel.com/sriov_a, of whose devices each interface
	// needs one. The pod's containers request them in resources.limits; the kubelet gives them, and the node agent hands the
	// n-th of a pod to the n-th of its interfaces that needs one: the plugins find its ID in the key deviceID.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^([a-z0-9]|[a-z0-9][-a-z0-9.]{0,187}[a-z0-9])/([A-Za-z0-9]|[A-Za-z0-9][-A-Za-z0-9_.]{0,61}[A-Za-z0-9])$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('kubernetes.io/') && !self.startsWith('requests.')",message="is not the name of an extended resource"
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('multinet.dev/')",message="is that of virtual functions which Multinet itself gives to pods: they need a Network of type SRIOV"
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
}

// CNIDeviceName is the name of the device of kind CNI in a node's pool.
const CNIDeviceName = "cni"

// CNIPluginDomain is the domain of the attributes of a device of kind CNI: one for each plugin that may run on the node.
const CNIPluginDomain = "cni." + GroupName

// MaxCNIPluginName is how long the type of a CNI plugin may be, since it is the name of an attribute.
const MaxCNIPluginName = 32

// CNIPluginAttribute is the attribute that tells of a plugin, by its type; '-' and '.' cannot stand in the name of an attribute.
func CNIPluginAttribute(pluginType string) string {
	name := strings.NewReplacer("-", "_", ".", "_").Replace(pluginType)
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}
