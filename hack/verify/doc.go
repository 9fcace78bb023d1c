// Package verify has the checks that no compiler does: what the programs may, whether everything that is written down
// is true, and whether anything of the machine that it was written on slipped in.
package verify
