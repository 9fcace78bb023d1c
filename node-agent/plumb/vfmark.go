package plumb

// VFMark is the alias that the interface of a VF has while it is a pod's.
const VFMark = vfMark
