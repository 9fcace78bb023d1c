package v1alpha1

// CNIArguments are what a pod asks of CNI plugins by the keys of Multus' annotation. All but args are capability arguments of
// the CNI conventions: a plugin gets those whose capability its configuration declares.
type CNIArguments struct {
	// ips that the interface has to get, with or without a prefix length.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=43
	// +listType=atomic
	// +optional
	IPs []string `json:"ips,omitempty"`

	// mac that the interface has to get: 6 bytes, or 20 for IP over InfiniBand.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{2}(:[0-9a-f]{2}){5}((:[0-9a-f]{2}){14})?$`
	// +kubebuilder:validation:MaxLength=59
	// +optional
	MAC string `json:"mac,omitempty"`

	// infinibandGUID has 8 bytes.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{2}(:[0-9a-f]{2}){7}$`
	// +kubebuilder:validation:MaxLength=23
	// +optional
	InfinibandGUID string `json:"infinibandGUID,omitempty"`

	// portMappings are ports of the node that lead to the pod.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	PortMappings []CNIPortMapping `json:"portMappings,omitempty"`

	// bandwidth is a limit.
	// +optional
	Bandwidth *CNIBandwidth `json:"bandwidth,omitempty"`

	// args is a JSON object that each plugin finds in its configuration as args.cni.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	Args string `json:"args,omitempty"`
}

// Limits of CNIArguments, as its markers have them.
const (
	MaxCNIIPs          = 16
	MaxCNIPortMappings = 64
	MaxCNIArgs         = 4096
)

// CNIPortMapping leads from a port of the node to one of the pod, in the fields of the CNI conventions.
type CNIPortMapping struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	HostPort int32 `json:"hostPort"`
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ContainerPort int32 `json:"containerPort"`
	// +kubebuilder:validation:Enum=tcp;udp;sctp
	Protocol string `json:"protocol"`
	// hostIP is the address of the node; unset stands for all.
	// +kubebuilder:validation:MaxLength=39
	// +optional
	HostIP string `json:"hostIP,omitempty"`
}

// CNIBandwidth is a limit in the fields of the CNI conventions: rates in bit/s, bursts in bits. ingress is what the pod
// receives. 0 is no limit.
type CNIBandwidth struct {
	// +kubebuilder:validation:Minimum=0
	// +optional
	IngressRate int64 `json:"ingressRate,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	IngressBurst int64 `json:"ingressBurst,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	EgressRate int64 `json:"egressRate,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +optional
	EgressBurst int64 `json:"egressBurst,omitempty"`
}
