// Command operator is the brain of Multinet in a cluster: it compiles Networks for the scheduler, plans pods,
// and gives out addresses. It never touches a node.
//
// main.go wires; controllers applies; decide and ipam decide, without I/O.
package main
