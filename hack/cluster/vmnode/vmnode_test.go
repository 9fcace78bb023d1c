package vmnode

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/hack/cluster/kindcluster"
	"github.com/multinet-dev/multinet/hack/cluster/vm"
)

func TestNearEnd(t *testing.T) {
	for subnet, want := range map[string]string{"172.18.0.0/16": "172.18.255.253", "192.168.4.128/25": "192.168.4.253", "10.0.0.0/30": "10.0.0.1"} {
		if got := nearEnd(netip.MustParsePrefix(subnet)); got.String() != want {
			t.Errorf("%s: got %s, want %s", subnet, got, want)
		}
	}
}

func TestNodeNames(t *testing.T) {
	if diff := cmp.Diff([]string{"a", "b"}, nodeNames("node/a\nnode/b\n")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A kubelet that identifies itself otherwise is nobody to the API server.
func TestSigningRequest(t *testing.T) {
	key, _, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	document, err := signingRequest("dev-vm-1", key)
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec struct {
			Request    []byte
			SignerName string
			Usages     []string
		}
	}
	if err := json.Unmarshal(document, &object); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(object.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := request.Subject.String(); got != "CN=system:node:dev-vm-1,O=system:nodes" || request.CheckSignature() != nil {
		t.Errorf("the request is of %s", got)
	}
	if object.Spec.SignerName != "kubernetes.io/kube-apiserver-client-kubelet" || len(object.Spec.Usages) != 2 {
		t.Errorf("got %+v", object.Spec)
	}
}

func TestSelfSigned(t *testing.T) {
	key, keyPEM, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := selfSigned("dev-vm-1", key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.VerifyHostname("dev-vm-1"); err != nil {
		t.Error(err)
	}
	if block, _ := pem.Decode(keyPEM); !certificate.PublicKey.(*ecdsa.PublicKey).Equal(parsed(t, block.Bytes).Public()) {
		t.Error("the certificate is of another key")
	}
}

func parsed(t *testing.T, der []byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What the tool says in Go and what the guest's files say must be the same.
func TestFilesAgree(t *testing.T) {
	for name, want := range map[string]string{
		"kubelet.yaml": "key: " + kindcluster.VMLabel + ",", "enter.sh": "/control/node.sh", "node.sh": "/run/credentials/kubeconfig",
	} {
		text, err := files.ReadFile("files/" + name)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not contain %q (%v)", name, want, err)
		}
	}
	loaded, err := files.ReadFile("files/enter.sh")
	if err != nil || !strings.Contains(string(loaded), "for module in "+strings.Join(vm.DiskModules, " ")+";") {
		t.Errorf("enter.sh does not load %v (%v)", vm.DiskModules, err)
	}
}

// answer plays the guest for one command.
func answer(t *testing.T, control, out, errors, status string) <-chan string {
	t.Helper()
	said := make(chan string, 1)
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for range ticker.C {
			found, _ := filepath.Glob(filepath.Join(control, "commands", "*.sh"))
			if len(found) == 0 {
				continue
			}
			stem := strings.TrimSuffix(found[0], ".sh")
			script, _ := os.ReadFile(found[0])
			_ = os.Rename(found[0], stem+".running")
			_ = os.WriteFile(stem+".out", []byte(out), 0o600)
			_ = os.WriteFile(stem+".err", []byte(errors), 0o600)
			_ = os.WriteFile(stem+".ended", []byte(status), 0o600)
			_ = os.Rename(stem+".ended", stem+".status")
			said <- string(script)
			return
		}
	}()
	return said
}

func TestExec(t *testing.T) {
	for name, test := range map[string]struct {
		status string
		code   vm.Exit
	}{"success": {"0\n", 0}, "failure": {"3\n", 3}} {
		t.Run(name, func(t *testing.T) {
			control := t.TempDir()
			if err := os.Mkdir(filepath.Join(control, "commands"), 0o700); err != nil {
				t.Fatal(err)
			}
			said := answer(t, control, "out\n", "err\n", test.status)
			var stdout, stderr bytes.Buffer
			err := Exec(t.Context(), control, []string{"echo", "it's"}, &stdout, &stderr)
			var exit vm.Exit
			if errors.As(err, &exit); exit != test.code || (err != nil) != (test.code != 0) {
				t.Errorf("got %v", err)
			}
			if stdout.String() != "out\n" || stderr.String() != "err\n" {
				t.Errorf("output %q, %q", &stdout, &stderr)
			}
			if got := <-said; got != "cd '/' || exit\nexec 'echo' 'it'\\''s'\n" {
				t.Errorf("the guest was told %q", got)
			}
			if left, _ := os.ReadDir(filepath.Join(control, "commands")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

func TestExecWithoutMachine(t *testing.T) {
	control := t.TempDir()
	if err := Exec(t.Context(), control, []string{"true"}, nil, nil); err == nil || !strings.Contains(err.Error(), "`vm-node` runs one") {
		t.Errorf("without a machine: %v", err)
	}
	commands := filepath.Join(control, "commands")
	if err := os.Mkdir(commands, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Exec(ctx, control, []string{"true"}, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a machine that does not answer: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- Exec(t.Context(), control, []string{"true"}, nil, nil) }()
	for range 200 {
		if found, _ := filepath.Glob(filepath.Join(commands, "*.sh")); len(found) > 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := os.RemoveAll(commands); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the machine has ended") {
		t.Errorf("a machine that ends: %v", err)
	}
}
