package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// prepare writes the command, and its program if that is a file, into the control folder.
func prepare(control, repository, dir string, env, args []string) error {
	if strings.Contains(args[0], "/") {
		program, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(control, "program"), program, 0o755); err != nil {
			return err
		}
		args = append([]string{"/control/program"}, args[1:]...)
	}
	inside, err := filepath.Rel(repository, dir)
	if err != nil || !filepath.IsLocal(inside) {
		return fmt.Errorf("folder %s is not in the repository", dir)
	}
	return os.WriteFile(filepath.Join(control, "command"), []byte(Script(filepath.Join("/repository", inside), env, args)), 0o644)
}

// Script runs one command, without the shell's own ideas about its words.
func Script(dir string, env, args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cd %s || exit\n", quote(dir))
	for _, variable := range env {
		fmt.Fprintf(&b, "export %s\n", quote(variable))
	}
	b.WriteString("exec")
	for _, arg := range args {
		b.WriteString(" " + quote(arg))
	}
	return b.String() + "\n"
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
