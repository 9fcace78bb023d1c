package vmnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/multinet-dev/multinet/hack/cluster/vm"
)

// Exec runs a command as root in the guest whose control folder that is. The kubelet there cannot be reached, so that neither
// kubectl exec nor logs work for the node; commands and their output are files.
func Exec(ctx context.Context, control string, args []string, stdout, stderr io.Writer) error {
	commands := filepath.Join(control, "commands")
	file, err := os.CreateTemp(commands, "*.new")
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("the cluster has no node in a virtual machine: `vm-node` runs one")
	}
	if err != nil {
		return fmt.Errorf("handing over a command: %w", err)
	}
	_, err = file.WriteString(vm.Script("/", nil, args))
	stem := strings.TrimSuffix(file.Name(), ".new")
	if err := errors.Join(err, file.Close(), os.Rename(file.Name(), stem+".sh")); err != nil {
		return fmt.Errorf("handing over a command: %w", err)
	}
	defer removeAll(stem)
	code, err := status(ctx, commands, stem+".status")
	if err != nil {
		return fmt.Errorf("command %q: %w", args[0], err)
	}
	if err := errors.Join(pass(stem+".out", stdout), pass(stem+".err", stderr)); err != nil {
		return fmt.Errorf("passing on the command's output: %w", err)
	}
	if code != 0 {
		return vm.Exit(code)
	}
	return nil
}

// status waits for the file that the guest writes last.
func status(ctx context.Context, commands, file string) (int, error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		text, err := os.ReadFile(file)
		if err == nil {
			return strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
		if _, err := os.Stat(commands); err != nil {
			return 0, fmt.Errorf("the machine has ended: %w", err)
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

func pass(file string, to io.Writer) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

func removeAll(stem string) {
	for _, end := range []string{".new", ".sh", ".running", ".out", ".err", ".status"} {
		os.Remove(stem + end)
	}
}
