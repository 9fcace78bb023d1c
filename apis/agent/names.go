// Package agent is what the CNI plugin and the agent of its node agree on, beside the messages in v1. It is apart from them since the
// plugin is started for every pod, and what comes with generated messages takes longer to start than all the rest of it.
package agent

// Methods of the service, as gRPC names them.
const (
	MethodAdd     = "/multinet.agent.v1.Sandboxes/Add"
	MethodDelete  = "/multinet.agent.v1.Sandboxes/Delete"
	MethodCheck   = "/multinet.agent.v1.Sandboxes/Check"
	MethodCollect = "/multinet.agent.v1.Sandboxes/Collect"
	MethodStatus  = "/multinet.agent.v1.Sandboxes/Status"
)

// PluginType is the type of the plugin in a network configuration, and the name of its program.
const PluginType = "multinet-cni"

// Versions of the CNI specification that the plugin speaks, oldest first: chains exist since 0.3.0.
var Versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// Where agent and plugin meet on a node, unless the plugin's configuration says otherwise. All of it is root's alone.
const (
	// Socket is the agent's.
	Socket = "/run/multinet/cni/agent.sock"
	// SelectedDir has a file for each pod that selects networks, named <pod UID>.json, from before the kubelet may make
	// its sandbox until the pod is gone.
	SelectedDir = "/run/multinet/selected"
	// DeletedDir has a DeleteRequest, as protobuf, for each DEL that the agent did not answer.
	DeletedDir = "/var/lib/multinet/cni/deleted"
)

// Codes of CNI errors, from its specification and, from 100 on, of the plugin itself.
const (
	CodeIncompatibleVersion = 1
	CodeEnvironment         = 4
	CodeIO                  = 5
	CodeDecode              = 6
	CodeConfig              = 7
	CodeTryAgain            = 11
	CodeUnavailable         = 50
	CodeLimited             = 51
	// CodeAttach: the kernel or a NIC refuses what a Network asks for.
	CodeAttach = 100
	// CodeNotAsPlanned: CHECK has found something missing or changed.
	CodeNotAsPlanned = 101
	// CodeNotFreed: something of a sandbox could not be taken away.
	CodeNotFreed = 102
)
