package apt

import "testing"

func TestChooseMirror(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"own suite, after its security archive": {"Debian|bookworm-security|http://s/\nDebian|bookworm|http://d/\n", "http://d/"},
		"newer Debian":                          {"Debian|trixie-security|http://s/\nDebian|trixie|http://d/\n", "http://d/"},
		"other distribution":                    {"Ubuntu|noble|http://u/\n", ""},
		"nothing":                               {"", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := chooseMirror(test.in, "bookworm"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
