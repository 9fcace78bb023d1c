package p

import _ "github.com/multinet-dev/multinet/operator"
import _ "sigs.k8s.io/controller-runtime/pkg/client"
import _ "k8s.io/client-go/kubernetes"
