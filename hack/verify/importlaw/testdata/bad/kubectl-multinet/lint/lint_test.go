package lint

import _ "github.com/multinet-dev/multinet/node-agent/plan"
