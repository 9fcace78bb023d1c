package p

import _ "sigs.k8s.io/controller-runtime"
import _ "k8s.io/api/core/v1"
