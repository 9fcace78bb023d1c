# Everything this project does from a shell. `make help` lists it; hack/README.md describes the tooling.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROGRAMS := operator agent cni
SOURCE_operator := ./operator
SOURCE_agent := ./node-agent
SOURCE_cni := ./node-agent/multinet-cni
# The agent brings the CNI plugin along and installs it on nodes without NRI.
IMAGES := operator agent
CONTENT_operator := operator
CONTENT_agent := agent cni

# Tools and the test cluster's programs are built from Go modules into a cache on first use.
TOOL := hack/tools/tool
CLUSTER := go -C hack/cluster run .
PROTOC_GEN := {"local":"%s","out":"apis","opt":"paths=source_relative"}
# Results that were proved on another kernel or cluster prove nothing: no cached ones.
GOTEST := go run ./hack/verify/gotest -summary bin/test-summary.txt -count 1
ASSETS = KUBEBUILDER_ASSETS="$$($(CLUSTER) envtest-assets)"
ALL := MULTINET_REQUIRE_ALL=1
# go hands each test binary to the virtual machine, as it would start it here. Static, since nothing else is in there;
# and without the one test that asks go for imports, and those that send as fast as a real processor can. Tests of VFs run there and nowhere else, since the cards are there.
VM = CGO_ENABLED=0 $(ALL) $(GOTEST) -name "virtual machine" -exec "'$(CURDIR)/bin/cluster' vm --pfs 2 --numa --iommu --timeout 10m" -timeout 10m \
	-skip '^TestAttachPathCannotStartProcesses$$|^TestRate' $(addprefix ./node-agent/,attach plumb kernel inventory qos)
NO_CARDS = -skip '^TestSRIOV'
# Three groups of tests run beside each other and mostly wait, however few cores there are.
E2E = $(ALL) $(GOTEST) -name "end to end" -tags e2e -parallel 3 -timeout 60m ./hack/e2e/...

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Try

.PHONY: demo demo-down
demo: need-root ## A kind cluster of 4 workers in 2 racks with Multinet, the examples on it, and a check (root)
	@go run ./demo up

demo-down: need-root ## Remove all that `make demo` made (root)
	@go run ./demo down

##@ Build

.PHONY: build images clean
build: $(PROGRAMS:%=bin/multinet-%) bin/kubectl-multinet ## The programs, static, below bin/

# Go knows best what is out of date. grpcnotrace leaves out a page of gRPC's own that nothing serves here; with it the
# linker keeps every method of client-go, and the agent is 20 MB larger.
.PHONY: $(PROGRAMS:%=bin/multinet-%)
$(PROGRAMS:%=bin/multinet-%): bin/multinet-%:
	@CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -ldflags "-s -w" -o $@ $(SOURCE_$*)

# The plugin "kubectl multinet"; kubectl finds it in the PATH. It is in no image.
.PHONY: bin/kubectl-multinet
bin/kubectl-multinet:
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $@ ./kubectl-multinet

images: build ## Image archives of the programs, below bin/images/, for any container runtime
	@mkdir -p bin/images
	@$(foreach image,$(IMAGES),$(CLUSTER) image --name multinet.dev/$(image):dev --out "$(CURDIR)/bin/images/$(image).tar" \
		$(CONTENT_$(image):%=--binary "$(CURDIR)/bin/multinet-%") &&) true

clean: ## Remove what was built here; `go -C hack/cluster run . clean-cache` removes the cache as well
	@rm -rf bin

##@ Test

.PHONY: test test-unit test-kernel test-vm test-api test-e2e bench
test: need-root ## Everything that proves the project (root; half an hour or more with warm caches)
	@rm -f bin/test-summary.txt; status=0; \
	$(ALL) $(ASSETS) $(GOTEST) -name "unit, kernel, API server" $(NO_CARDS) ./... || status=1; \
	$(ALL) $(GOTEST) -name "tooling" -C hack/cluster ./... || status=1; \
	$(MAKE) --no-print-directory test-vm || status=1; \
	$(E2E) || status=1; \
	echo; cat bin/test-summary.txt; exit $$status

test-unit: ## What needs no root and no cluster (seconds)
	@env -u KUBEBUILDER_ASSETS go test ./...
	@go -C hack/cluster test ./...

test-kernel: need-root ## The node agent on this kernel, in network namespaces (root)
	@$(ALL) $(ASSETS) $(GOTEST) -name "kernel" $(NO_CARDS) ./node-agent/...

test-vm: ## The same on a Debian kernel in a virtual machine, which has 802.1Q and SR-IOV cards wherever this is run
	@go -C hack/cluster build -o "$(CURDIR)/bin/cluster" . && bin/cluster vm
	@$(VM)

test-api: ## The API, the policies and the operator on a real API server
	@$(ALL) $(ASSETS) $(GOTEST) -name "API server" ./apis/... ./operator/... ./node-agent ./node-agent/publish/... ./node-agent/watch

test-e2e: need-root ## Users' mistakes and every fault of a part, on a kind cluster (root)
	@$(E2E)

bench: need-root ## Measure ours against the same work by hand; one line `ratio NAME VALUE` per comparison (root)
	@for program in hack/bench/*/; do go run "./$$program"; done
	@go test -tags e2e,bench -timeout 40m -count 1 -v -run '^TestBench' ./hack/e2e/

##@ Keep in step

.PHONY: generate manifests lint verify
generate: ## Deepcopy, CRDs, roles and docs/api.md, from the Go types and their markers; gRPC from its .proto files
	@"$$($(TOOL) controller-gen)" object crd paths=./apis/v1alpha1 output:crd:dir=manifests/crds
	@"$$($(TOOL) controller-gen)" rbac:roleName=multinet-operator paths=./operator/... output:rbac:dir=manifests/rbac/operator
	@"$$($(TOOL) controller-gen)" rbac:roleName=multinet-agent paths=./node-agent/... output:rbac:dir=manifests/rbac/agent
	@"$$($(TOOL) crd-ref-docs)" --log-level=WARN --renderer=markdown --source-path=apis/v1alpha1 --output-path=docs/api.md \
		--config=hack/tools/crd-ref-docs/config.yaml
	@"$$($(TOOL) buf)" generate apis --template "$$(printf '{"version":"v2","plugins":[%s,%s]}' \
		"$$(printf '$(PROTOC_GEN)' "$$($(TOOL) protoc-gen-go)")" "$$(printf '$(PROTOC_GEN)' "$$($(TOOL) protoc-gen-go-grpc)")")"

manifests: generate ## manifests/multinet.yaml, the one file to apply
	@hack/verify/bundle > manifests/multinet.yaml.new
	@mv manifests/multinet.yaml.new manifests/multinet.yaml

lint: ## golangci-lint and the import law
	@"$$($(TOOL) golangci-lint)" run ./...
	@cd hack/cluster && "$$(../tools/tool golangci-lint)" run --config ../../.golangci.yaml ./...
	@go test ./hack/verify/...

verify: ## Generate everything anew and see that nothing changes; vet and lint
	@hack/verify/generated
	@go vet ./... && go vet -tags e2e,bench ./... && go -C hack/cluster vet ./...
	@$(MAKE) --no-print-directory lint

.PHONY: need-root
need-root:
	@[ "$$(id -u)" = 0 ] || { echo "make $(firstword $(MAKECMDGOALS)) needs root: it makes network namespaces or a cluster. Without root there are test-unit, test-api and build." >&2; exit 1; }
