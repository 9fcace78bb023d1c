package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// failure is an error as CNI prints it.
type failure struct {
	code    int
	message string
	details string
}

func fail(code int, message, format string, args ...any) *failure {
	return &failure{code: code, message: message, details: fmt.Sprintf(format, args...)}
}

// print writes the error in the version of the configuration, or in our own where that is not known.
func (f *failure) print(to io.Writer, version string) {
	if version == "" {
		version = latest
	}
	// Nothing can be done where the runtime does not listen; it sees the exit status.
	_ = json.NewEncoder(to).Encode(struct {
		CNIVersion string `json:"cniVersion"`
		Code       int    `json:"code"`
		Message    string `json:"msg"`
		Details    string `json:"details,omitempty"`
	}{version, f.code, f.message, f.details})
}
