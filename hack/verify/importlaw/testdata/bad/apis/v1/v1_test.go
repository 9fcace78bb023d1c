package p

import _ "github.com/multinet-dev/multinet"
import _ "github.com/multinet-dev/multinet/apis/v1"
