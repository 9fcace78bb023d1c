package p

import _ "github.com/multinet-dev/multinet/node-agent/plan"
import _ "github.com/multinet-dev/multinet/operator/decide"
