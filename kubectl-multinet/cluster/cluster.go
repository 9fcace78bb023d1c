// Package cluster reads from the API server what the lint command is about.
package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/multinet-dev/multinet/kubectl-multinet/manifest"
)

// pageSize of a list.
const pageSize = 500

var (
	definitions = schema.GroupVersionResource{Group: "k8s.cni.cncf.io", Version: "v1", Resource: "network-attachment-definitions"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Connection says which cluster and namespace are meant, as kubectl does; empty fields take what the kubeconfig says.
type Connection struct {
	Kubeconfig, Context, Namespace string
	AllNamespaces                  bool
}

// Read lists NetworkAttachmentDefinitions, then pods. A cluster that knows no such definitions has none.
func Read(ctx context.Context, c Connection) ([]manifest.Object, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.Context}
	overrides.Context.Namespace = c.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("finding the namespace: %w", err)
	}
	if c.AllNamespaces {
		namespace = metav1.NamespaceAll
	}
	return readFrom(ctx, config, namespace)
}

func readFrom(ctx context.Context, config *rest.Config, namespace string) (objects []manifest.Object, err error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	for _, resource := range []schema.GroupVersionResource{definitions, pods} {
		some, err := list(ctx, client.Resource(resource).Namespace(namespace))
		if apierrors.IsNotFound(err) && resource == definitions {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", resource.Resource, err)
		}
		objects = append(objects, some...)
	}
	return objects, nil
}

func list(ctx context.Context, resource dynamic.ResourceInterface) (objects []manifest.Object, err error) {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := resource.List(ctx, options)
		if err != nil {
			return nil, err
		}
		text, err := page.MarshalJSON()
		if err != nil {
			return nil, err
		}
		some, err := manifest.ReadAPI(string(text), metav1.NamespaceDefault)
		if err != nil {
			return nil, err
		}
		objects = append(objects, some...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return objects, nil
		}
	}
}
