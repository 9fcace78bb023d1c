package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// Install applies manifests/multinet.yaml of the repository, with the agents' configuration replaced by that of
// the file uplinks, since which NICs are uplinks is the one thing that every cluster has to say for itself.
func (c *Cluster) Install(ctx context.Context, repository, uplinks string) error {
	manifest, err := os.ReadFile(filepath.Join(repository, "manifests", "multinet.yaml"))
	if err != nil {
		return fmt.Errorf("reading what is to be installed: %w", err)
	}
	configuration, err := os.ReadFile(uplinks)
	if err != nil {
		return fmt.Errorf("reading the agents' configuration: %w", err)
	}
	merged, err := replaceObject(manifest, configuration)
	if err != nil {
		return err
	}
	repeated, err := c.installed(ctx)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, merged); err != nil || !repeated {
		return err
	}
	// The images were loaded again under the names that the pods already run, which Kubernetes does not notice.
	_, err = c.Kubectl(ctx, nil, "rollout", "restart", "--namespace", Namespace, "daemonset/multinet-agent", "deployment/multinet-operator")
	return err
}

// installed tells whether there is an older installation.
func (c *Cluster) installed(ctx context.Context) (bool, error) {
	err := c.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "multinet-agent"}, &appsv1.DaemonSet{})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("looking for an older installation: %w", err)
	}
	return err == nil, nil
}

// Apply applies the objects of a YAML stream.
func (c *Cluster) Apply(ctx context.Context, objects []byte) error {
	_, err := c.Kubectl(ctx, bytes.NewReader(objects), "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// identity is what makes two documents the same object.
type identity struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// replaceObject returns the stream with the one object that replacement is a version of replaced by it.
func replaceObject(stream, replacement []byte) ([]byte, error) {
	wanted, err := identify(string(replacement))
	if err != nil {
		return nil, err
	}
	documents := strings.Split(string(stream), "\n---\n")
	replaced := false
	for i, document := range documents {
		found, err := identify(document)
		if err != nil {
			return nil, err
		}
		if found == wanted {
			documents[i], replaced = string(replacement), true
		}
	}
	if !replaced {
		return nil, fmt.Errorf("the manifest holds no %s %s to configure", wanted.Kind, wanted.Metadata.Name)
	}
	return []byte(strings.Join(documents, "\n---\n")), nil
}

func identify(document string) (identity, error) {
	var id identity
	if err := yaml.Unmarshal([]byte(document), &id); err != nil {
		return id, fmt.Errorf("reading a YAML document: %w", err)
	}
	return id, nil
}
