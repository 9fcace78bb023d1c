package attach

// EnsureVFs makes a PF of the node have a number of VFs, unless one is in use. See plumb.VFs.EnsureVFs.
func (a *Attacher) EnsureVFs(pf string, want int, inUse []string) (changed bool, err error) {
	vfs, err := a.vfs()
	if err != nil {
		return false, err
	}
	return vfs.EnsureVFs(pf, want, inUse)
}
