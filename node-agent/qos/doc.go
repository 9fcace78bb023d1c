// Package qos holds pods to their classes on the links that they share, with what the kernel has: one HTB for each link and
// direction, programs that tell it whose a packet is, and a program on each pod's link that keeps pods from lying about that.
//
// What should be is computed from the plans alone (tree.go); Manager compares it with the kernel and changes what differs. The
// state is in the kernel: queues on the links, programs and tables as files in a bpffs. Enforcement does not need the agent.
package qos
