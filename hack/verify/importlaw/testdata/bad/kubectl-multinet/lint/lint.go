package lint

import _ "github.com/multinet-dev/multinet/operator/decide"
