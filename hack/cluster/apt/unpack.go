package apt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// keyring signs every suite; the package debian-archive-keyring has it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Unpack puts packages of a Debian suite with all that they depend on into a folder. Nothing is installed or
// configured, the machine's own packages play no part, and root is not needed.
func Unpack(ctx context.Context, suite, folder string, packages ...string) error {
	mirror, err := Mirror(ctx, suite)
	if err != nil {
		return err
	}
	if mirror == "" {
		return fmt.Errorf("apt is set up with no Debian archive on this machine: add one to its sources, for packages of Debian %s", suite)
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("install the package debian-archive-keyring: %w", err)
	}
	private, err := os.MkdirTemp("", "multinet-apt-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(private)
	source := fmt.Sprintf("deb [arch=amd64 signed-by=%s] %s %s main\n", keyring, mirror, suite)
	options, err := privateOptions(private, source)
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends", "--download-only"}, packages...)} {
		// The subcommand comes first, for the title in an error.
		if _, err := command.New("apt-get", append(args, options...)...).Run(ctx); err != nil {
			return fmt.Errorf("fetching packages of Debian %s: %w", suite, err)
		}
	}
	return unpackAll(ctx, filepath.Join(private, "cache", "archives"), folder)
}

// privateOptions keep the machine's settings of apt, such as a proxy, but neither its sources nor its state.
func privateOptions(folder, source string) ([]string, error) {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(folder, dir), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{"state/status": "", "sources.list": source} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	var options []string
	for _, o := range []string{
		"Dir::State=" + folder + "/state",
		"Dir::State::status=" + folder + "/state/status",
		"Dir::Cache=" + folder + "/cache",
		"Dir::Etc::sourcelist=" + folder + "/sources.list",
		"Dir::Etc::sourceparts=-",
		"Dir::Etc::preferences=-",
		"Dir::Etc::preferencesparts=-",
		"APT::Architecture=amd64",
		"APT::Architectures=amd64",
		"APT::Sandbox::User=",
		"APT::Update::Error-Mode=any",
		"Acquire::Languages=none",
	} {
		options = append(options, "-o", o)
	}
	return options, nil
}

func unpackAll(ctx context.Context, archives, folder string) error {
	files, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("apt fetched no packages")
	}
	for _, file := range files {
		if _, err := command.New("dpkg-deb", "-x", file, folder).Run(ctx); err != nil {
			return fmt.Errorf("unpacking %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}
