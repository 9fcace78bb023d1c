package kindcluster

import (
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
)

// podSubnet is the primary network's; host-local hands out of each node's share of it.
const podSubnet = "10.244.0.0/16"

// Where the audit files are inside the control-plane node.
const (
	auditPolicyPath = "/etc/kubernetes/audit-policy.yaml"
	auditLogFolder  = "/var/log/kubernetes-audit"
)

// auditPolicy records who wrote what: an end-to-end test counts the API writes of each user.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// auditPatch adds to lists that kind writes entries into as well; a merge patch would replace those.
const auditPatch = `
- {op: add, path: /apiServer/extraArgs/-, value: {name: audit-policy-file, value: ` + auditPolicyPath + `}}
- {op: add, path: /apiServer/extraArgs/-, value: {name: audit-log-path, value: ` + auditLogFolder + `/audit.log}}
- {op: add, path: /apiServer/extraArgs/-, value: {name: audit-log-maxsize, value: "100"}}
- {op: add, path: /apiServer/extraArgs/-, value: {name: audit-log-maxbackup, value: "2"}}
- op: add
  path: /apiServer/extraVolumes
  value:
  - {name: audit-policy, hostPath: ` + auditPolicyPath + `, mountPath: ` + auditPolicyPath + `, readOnly: true, pathType: File}
  - {name: audit-log, hostPath: ` + auditLogFolder + `, mountPath: ` + auditLogFolder + `, pathType: DirectoryOrCreate}
`

// kubeletPatch lets the kubelet start where the host still has cgroup v1.
const kubeletPatch = `kind: KubeletConfiguration
failCgroupV1: false
`

// validatorPatch has containerd refuse containers of pods that require a plugin (annotation
// required-plugins.noderesource.dev) while it is not connected. Without it a pod whose agent dies between prepare
// and sandbox starts without its networks.
const validatorPatch = `[plugins."io.containerd.nri.v1.nri".default_validator]
  enable = true
`

// statisticsPatch: by default each container's shim is asked once a second how much it uses. With five nodes on one machine that
// takes a sixth of a CPU while nothing happens.
const statisticsPatch = `[plugins."io.containerd.cri.v1.runtime"]
  stats_collect_period = "30s"
`

// config is the kind configuration. ownCNI: the node image has no kindnet, so kind must not look for it.
// The API server's port is left to Docker, which takes a free one.
func config(r Request, files Files, ownCNI bool) *v1alpha4.Cluster {
	c := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:     r.Name,
		Networking: v1alpha4.Networking{
			PodSubnet: podSubnet, DisableDefaultCNI: ownCNI, KubeProxyMode: v1alpha4.NFTablesProxyMode,
		},
		KubeadmConfigPatches:    []string{kubeletPatch},
		ContainerdConfigPatches: []string{validatorPatch, statisticsPatch},
		KubeadmConfigPatchesJSON6902: []v1alpha4.PatchJSON6902{
			{Group: "kubeadm.k8s.io", Version: "v1beta4", Kind: "ClusterConfiguration", Patch: auditPatch},
		},
		Nodes: []v1alpha4.Node{{
			Role: v1alpha4.ControlPlaneRole,
			ExtraMounts: []v1alpha4.Mount{
				{HostPath: files.AuditPolicy(), ContainerPath: auditPolicyPath, Readonly: true},
				{HostPath: files.AuditFolder(), ContainerPath: auditLogFolder},
			},
		}},
	}
	for range r.Workers {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole})
	}
	v1alpha4.SetDefaultsCluster(c)
	return c
}
