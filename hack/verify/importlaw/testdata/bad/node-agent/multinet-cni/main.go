package p

import _ "k8s.io/client-go/rest"
import _ "google.golang.org/grpc"
