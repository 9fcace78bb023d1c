module github.com/multinet-dev/multinet/hack/node-image/pause

go 1.26.0
