package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// BootID is another one after each boot of the machine, and the same in all containers.
var BootID = sync.OnceValues(func() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot ID: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
})
