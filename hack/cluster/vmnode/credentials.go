package vmnode

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// lifetime of certificates: that of the longest run of tests, and then some.
const lifetime = 24 * time.Hour

// kubeconfig reaches the API server through QEMU; its certificate is for the name that this machine calls it by.
const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: kind
  cluster: {server: "https://%s", tls-server-name: localhost, certificate-authority: /run/credentials/ca.crt}
users:
- name: node
  user: {client-certificate: /run/credentials/client.crt, client-key: /run/credentials/client.key}
contexts:
- name: node
  context: {cluster: kind, user: node}
current-context: node
`

// issue writes what the kubelet identifies itself with: a certificate that the cluster signs, as for every node that joins,
// and one of its own making to serve with, which saves the guest the work. The guest removes the files once it has them.
func (n Node) issue(ctx context.Context, folder string) error {
	port, err := n.apiPort(ctx)
	if err != nil {
		return err
	}
	authority, err := n.Cluster.Docker.Run(ctx, "exec", n.Cluster.Request.ControlPlane(), "cat", "/etc/kubernetes/pki/ca.crt")
	if err != nil {
		return fmt.Errorf("reading the cluster's authority: %w", err)
	}
	client, clientPEM, err := newKey()
	if err != nil {
		return err
	}
	certificate, err := n.signed(ctx, client)
	if err != nil {
		return fmt.Errorf("having the kubelet's certificate signed: %w", err)
	}
	serving, servingPEM, err := newKey()
	if err != nil {
		return err
	}
	own, err := selfSigned(n.Name, serving)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"ca.crt": []byte(authority + "\n"), "client.key": clientPEM, "client.crt": certificate, "serving.key": servingPEM, "serving.crt": own,
		"kubeconfig": fmt.Appendf(nil, kubeconfig, "10.0.2.2:"+port),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// signed asks the cluster through its CSR API; the request is removed again.
func (n Node) signed(ctx context.Context, key crypto.Signer) (certificate []byte, err error) {
	request, err := signingRequest(n.Name, key)
	if err != nil {
		return nil, err
	}
	if _, err := n.Cluster.Kubectl(ctx, bytes.NewReader(request), "create", "--filename", "-"); err != nil {
		return nil, err
	}
	object := "certificatesigningrequest/" + n.Name
	defer func() {
		if _, removed := n.Cluster.Kubectl(context.WithoutCancel(ctx), nil, "delete", object); err == nil {
			err = removed
		}
	}()
	if _, err := n.Cluster.Kubectl(ctx, nil, "certificate", "approve", n.Name); err != nil {
		return nil, err
	}
	if _, err := n.Cluster.Kubectl(ctx, nil, "wait", "--for=jsonpath={.status.certificate}", object, "--timeout=1m"); err != nil {
		return nil, err
	}
	text, err := n.Cluster.Kubectl(ctx, nil, "get", object, "--output", "jsonpath={.status.certificate}")
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// signingRequest is the object for the API: the user and the group by which the cluster knows a node.
func signingRequest(node string, key crypto.Signer) ([]byte, error) {
	subject := pkix.Name{Organization: []string{"system:nodes"}, CommonName: "system:node:" + node}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return nil, err
	}
	type m = map[string]any
	return json.Marshal(m{
		"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": m{"name": node},
		"spec": m{
			"request":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			"signerName": "kubernetes.io/kube-apiserver-client-kubelet", "expirationSeconds": int(lifetime.Seconds()),
			"usages": []string{"digital signature", "client auth"},
		},
	})
}

func selfSigned(node string, key crypto.Signer) ([]byte, error) {
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: node}, DNSNames: []string{node},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
