package p

import _ "github.com/multinet-dev/multinet/operator/ipam"
import _ "github.com/multinet-dev/multinet/apis/selection"
