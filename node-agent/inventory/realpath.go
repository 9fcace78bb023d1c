package inventory

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is the bound of the kernel as well.
const maxLinks = 40

// realPath resolves all symbolic links of a path. The folders that it leads through are what tells the place of a
// device on its bus; opening the path would tell nothing of them.
func realPath(fsys fs.FS, name string) (string, error) {
	rest := strings.Split(name, "/")
	resolved := "."
	for links := 0; len(rest) > 0; {
		next := path.Join(resolved, rest[0])
		rest = rest[1:]
		info, err := fs.Lstat(fsys, next)
		if err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			resolved = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", name)
		}
		target, err := fs.ReadLink(fsys, next)
		if err != nil {
			return "", err
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return resolved, nil
}
