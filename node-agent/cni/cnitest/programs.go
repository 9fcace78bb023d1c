package cnitest

import (
	"context"
	"os"
	"sync"
)

// Programs are what Build makes, for all tests of one package.
type Programs struct {
	once      sync.Once
	reference []string
	dir       string
	err       error
}

// NewPrograms are for packages two folders below the root of the checkout. Nothing is built yet.
func NewPrograms(reference ...string) *Programs { return &Programs{reference: reference} }

// Dir is the folder that they are in. The first call builds them.
func (p *Programs) Dir() (string, error) {
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "multinet-cni-test-"); p.err == nil {
			p.err = Build(context.Background(), "../..", p.dir, p.reference...)
		}
	})
	return p.dir, p.err
}

// Main runs the tests of the package, removes the folder if there is one, and ends the process.
func (p *Programs) Main(tests interface{ Run() int }) {
	status := tests.Run()
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
	os.Exit(status)
}
