package npwg

import (
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// maxLevels of lists and objects in a value of an element; the admission policy has regular expressions for so many.
const maxLevels = 3

// Unreadable tells what of a value, which Parse accepts, the admission policy netattachdefs.yaml does not read: pods with it
// are refused. All are of the JSON form.
func Unreadable(value string) (problems []*Error) {
	list, err := jsonpos.Parse(value)
	if err != nil {
		return nil
	}
	for i, item := range list.Items {
		for _, m := range item.Members {
			known := m.Key == "name" || m.Key == "namespace" || m.Key == "interface"
			switch {
			case levels(m.Value) > maxLevels:
				problems = append(problems, &Error{At: m.Value.At, Element: i + 1, Key: m.Key, Problem: "has more than three levels of lists and objects"})
			case !plain(value, m.At, m.Key) || known && m.Value.Kind == jsonpos.String && !plain(value, m.Value.At, m.Value.Text):
				problems = append(problems, &Error{At: m.At, Element: i + 1, Key: m.Key, Problem: "is written with an escape sequence: write it plainly"})
			}
		}
	}
	return problems
}

func levels(v jsonpos.Value) int {
	deepest := 0
	for _, item := range v.Items {
		deepest = max(deepest, levels(item))
	}
	for _, m := range v.Members {
		deepest = max(deepest, levels(m.Value))
	}
	if v.Kind == jsonpos.Array || v.Kind == jsonpos.Object {
		deepest++
	}
	return deepest
}

// plain tells whether a string stands in the value without escape sequences.
func plain(value string, at jsonpos.Position, text string) bool {
	return strings.HasPrefix(value[at.Offset:], `"`+text+`"`)
}
