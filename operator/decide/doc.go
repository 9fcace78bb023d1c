// Package decide holds what the operator decides, as pure functions of snapshots: reconcilers gather, ask here
// and apply. Nothing in it does I/O or reads the clock.
package decide
