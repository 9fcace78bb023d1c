package main

import (
	_ "github.com/multinet-dev/multinet/apis/v1"
	_ "github.com/multinet-dev/multinet/kubectl-multinet/lint"
)
