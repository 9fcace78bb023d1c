// Package e2e proves Multinet on a real cluster: what users do wrong, and what happens to the parts. Its tests need
// root and the build tag e2e; they bring up the cluster multinet-test and remove it:
//
//	go test -tags e2e -parallel 3 -timeout 30m ./hack/e2e/
//
// MULTINET_E2E_KEEP=1 leaves the cluster running, and the next run uses it again. The tag bench adds measurements.
package e2e
