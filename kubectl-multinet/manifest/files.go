package manifest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// extensions are those that kubectl reads in a folder.
var extensions = []string{".yaml", ".yml", ".json"}

// ReadFiles reads files, the YAML and JSON files of folders, and stdin for "-".
func ReadFiles(names []string, stdin io.Reader, namespace string) (objects []Object, err error) {
	files, err := expand(names)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		var source []byte
		shown := name
		if name == "-" {
			shown = "<stdin>"
			source, err = io.ReadAll(stdin)
		} else {
			source, err = os.ReadFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", shown, err)
		}
		read, err := Read(shown, string(source), namespace)
		if err != nil {
			return nil, err
		}
		objects = append(objects, read...)
	}
	return objects, nil
}

// expand replaces folders by their files, in the order of their names.
func expand(names []string) (files []string, err error) {
	for _, name := range names {
		info, err := os.Stat(name)
		if name == "-" || err == nil && !info.IsDir() {
			files = append(files, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("reading folder %s: %w", name, err)
		}
		for _, e := range entries {
			if !e.IsDir() && slices.Contains(extensions, filepath.Ext(e.Name())) {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	return files, nil
}
