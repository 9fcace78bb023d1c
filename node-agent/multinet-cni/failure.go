package main

import (
	"strconv"

	"github.com/multinet-dev/multinet/node-agent/multinet-cni/jsonspan"
)

// failure is an error as CNI prints it.
type failure struct {
	code    int
	message string
	details string
}

func fail(code int, message, details string) *failure {
	return &failure{code: code, message: message, details: details}
}

// encode writes the error in the version of the configuration, or in our own where that is not known.
func (f *failure) encode(version string) []byte {
	if version == "" {
		version = latest
	}
	text := versioned(version)
	text = strconv.AppendInt(append(text, `,"code":`...), int64(f.code), 10)
	text = jsonspan.AppendText(append(text, `,"msg":`...), f.message)
	if f.details != "" {
		text = jsonspan.AppendText(append(text, `,"details":`...), f.details)
	}
	return append(text, "}\n"...)
}
