# What an operator and a developer of this repository do. The logic behind
# up, down, clean and their kin is services/internal/deploy.
#
# Settings, on the command line or in the environment:
#   RUNTIME=docker|local   where to run; chosen by itself when left out
#   DOMAIN, HTTPS_PORT     where it is reached: demo.localhost, 8443
#   RUN_DIR, CERTS_DIR     where generated files go: .run, certs
#   BROWSER=1              make tour: sign in with your own browser
#   REQUESTS_PER_USER=...  and what docs/configuration.md marks of the services
# What is left out is as in the last `make up`, until `make clean`. Whether set
# on the command line or in the environment, they reach every program that make
# runs.

.DEFAULT_GOAL := help
SHELL := /bin/sh

run  := $(or $(RUN_DIR),.run)
demo := $(run)/bin/demo
HAVE_GO := $(shell command -v go 2>/dev/null)

# What npm installs for some of the tests, each in a directory of its own. It
# writes the file $(installed) last.
suite     := $(run)/tools/conformance
clients   := $(run)/tools/clients
axe       := $(run)/tools/browser
installed := node_modules/.package-lock.json

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'


# The tool itself. go build leaves it alone when it is up to date.
.PHONY: demo
demo:
	@mkdir -p $(dir $(demo))
	@go -C services build -buildvcs=false -o $(abspath $(demo)) ./cmd/demo || { \
	  echo "The tool could not be built. It needs Go 1.26 or newer (this is $$(go env GOVERSION)): https://go.dev/dl/" >&2; exit 1; }

ifneq ($(HAVE_GO),)
.PHONY: up down clean status logs rotate-keys audit-verify certs trust untrust
up: demo ## Start everything and wait until it is healthy; DOMAIN=, HTTPS_PORT=, RUNTIME=docker|local
	@$(demo) up
down: demo ## Stop it; state, secrets and certificates stay
	@$(demo) down
clean: demo ## Stop it and remove everything generated but the certificate authority
	@$(demo) clean
	@rm -rf $(run)/tools && rm -f $(demo) && rmdir $(run)/bin $(run) 2>/dev/null || true
status: demo ## Show what runs
	@$(demo) status
logs: demo ## Show the last lines of every log
	@$(demo) logs
rotate-keys: demo ## Give the authorization server that is up a new signing key
	@$(demo) rotate-keys
audit-verify: demo ## Check that nothing in the audit trail was altered or removed; HEAD= as logged, to find a cut-off end
	@$(demo) audit-verify $(HEAD)
certs: demo ## Create or renew the certificates, and say how to trust them
	@$(demo) certs
trust: demo ## Make this machine trust the certificate authority
	@$(demo) trust
untrust: demo ## Undo that
	@$(demo) untrust
else
# Without Go, Docker alone does it: it builds from source and makes the
# certificates and secrets in a container.
.PHONY: up down clean status logs rotate-keys audit-verify certs trust untrust
up: need-docker
	@echo "There is no Go here: building from source inside Docker, which takes a few minutes the first time." >&2
	docker compose up --build --detach --wait
	@echo "Up: https://$(or $(DOMAIN),demo.localhost):$(or $(HTTPS_PORT),8443)/ (certs/README.md tells how to trust certs/ca.pem)"
down: need-docker
	docker compose down
clean: need-docker
	docker compose down --volumes --rmi local
	rm -rf $(run)/secrets
status: need-docker
	docker compose ps
logs: need-docker
	docker compose logs --tail 100
rotate-keys: need-docker
	docker compose exec authserver /service rotate-keys
audit-verify: need-docker
	docker compose exec authserver /service audit-verify $(HEAD)
certs trust untrust: need-docker
	@echo "make up creates the certificates; certs/README.md tells how to trust certs/ca.pem without Go." >&2
endif

.PHONY: need-docker need-go
need-docker:
	@command -v docker >/dev/null || { \
	  echo "Install Go 1.26 or newer (https://go.dev/dl/), or Docker with Compose (https://docs.docker.com/get-docker/)." >&2; exit 1; }
need-go:
	@command -v go >/dev/null || { echo "Install Go 1.26 or newer: https://go.dev/dl/" >&2; exit 1; }

.PHONY: tour
tour: need-go ## Walk through the whole flow against what is up, explained; BROWSER=1 to sign in yourself
	@go run ./e2e/cmd/tour


.PHONY: build
build: need-go ## Compile everything
	go build ./services/... ./e2e/...

.PHONY: test
test: need-go ## All tests: unit and integration of the services, then end to end
	go test -race ./services/...
	go test -count=1 ./e2e/...

.PHONY: e2e
e2e: need-go ## The end-to-end tests alone; RUNTIME=docker|local
	go test -count=1 ./e2e/...

.PHONY: bench
bench: need-go ## What requests cost the authorization server, with a million live tokens; takes minutes
	BENCH=1000000 go test -count=1 -timeout 30m -v -run '^TestBench$$' ./services/authserver

.PHONY: bench-gateway
bench-gateway: need-go $(clients)/$(installed) ## Gateway and MCP server beside nginx, a bare go-sdk server and the TypeScript SDK's examples; needs Linux, two idle cores, nginx and npm
	BENCH_GATEWAY=$(abspath $(clients)) go test -count=1 -timeout 15m -v ./e2e/bench

# The conformance suite and the clients run on Node, which is installed along
# with them: only npm has to be there already.
$(run)/tools/%/$(installed): e2e/%/package.json e2e/%/package-lock.json
	@command -v npm >/dev/null || { echo "Install npm, which comes with Node.js: https://nodejs.org/" >&2; exit 1; }
	@mkdir -p $(run)/tools/$* && cp $^ $(run)/tools/$*
	npm ci --prefix $(run)/tools/$* --ignore-scripts --no-audit --no-fund --loglevel error

# Slow things that .ci/run leaves out.
.PHONY: fuzz crash
fuzz: need-go ## Every fuzz test of the services, FUZZTIME each (1m)
	@cd services && for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$f); do \
	    echo "$$name in $$(dirname $$f)"; go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(or $(FUZZTIME),1m) $$(dirname $$f) || exit 1; \
	  done; done
crash: need-go ## Kill the authorization server 200 times in the middle of its work, and check that nothing is lost
	cd services && KILLS=200 go test -count=1 -timeout 15m -run TestKill -v ./authserver

.PHONY: conformance
conformance: need-go $(suite)/$(installed) ## The official MCP conformance suite against authorization server and MCP server; needs npm
	CONFORMANCE=$(abspath $(suite)) go test -count=1 -v ./e2e/conformance

.PHONY: footprint verify vuln sbom
footprint: need-go ## What each service costs when idle: memory, and time to be ready
	cd services && FOOTPRINT=1 go test -count=1 -v -run '^TestFootprint$$' ./internal/deploy
verify: need-go ## Compare the modules that ship, as they lie on this disk, with go.sum
	@for mod in services services/mail/mailhog; do printf '%s: ' $$mod; (cd $$mod && GOWORK=off go mod verify) || exit 1; done
vuln: need-go ## Known vulnerabilities that the programs reach; needs the Go vulnerability database, or GOVULNDB=file://...
	@mkdir -p $(run)/tools
	@cd scripts/supply && GOWORK=off go build -o $(abspath $(run)/tools)/ golang.org/x/vuln/cmd/govulncheck
	@scripts/vuln $(run)/tools/govulncheck
sbom: need-go ## A bill of materials (CycloneDX) for each program, in .run/sbom
	@mkdir -p $(run)/tools
	@cd scripts/supply && GOWORK=off go build -o $(abspath $(run)/tools)/ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@scripts/sbom $(run)/tools/cyclonedx-gomod $(run)/sbom
.PHONY: clients
clients: need-go $(clients)/$(installed) ## MCP Inspector, mcp-remote and the TypeScript SDK's client against a deployment; needs npm
	@cp e2e/clients/*.mjs $(clients)
	CLIENTS=$(abspath $(clients)) go test -count=1 -v ./e2e/clients

.PHONY: browser
browser: need-go $(axe)/$(installed) ## What people do, in headless Chromium, with axe-core on every page; SCREENSHOTS= for the pictures (.run/screenshots); needs npm and Chromium
	AXE=$(abspath $(axe)) SCREENSHOTS=$(abspath $(or $(SCREENSHOTS),$(run)/screenshots)) go test -count=1 -v ./e2e/browser

.PHONY: lint
lint: need-go ## gofmt, and golangci-lint with go vet and staticcheck in it
	@unformatted=$$(gofmt -l services e2e); [ -z "$$unformatted" ] || { echo "gofmt -w:"; echo "$$unformatted"; exit 1; } >&2
	@mkdir -p $(run)/tools
	@cd scripts/tools && GOWORK=off go build -o $(abspath $(run)/tools)/ tool
	cd services && GOWORK=off $(abspath $(run)/tools)/golangci-lint run --config $(abspath scripts/tools/golangci.yml) ./...
	cd e2e && GOWORK=off $(abspath $(run)/tools)/golangci-lint run --config $(abspath scripts/tools/golangci.yml) ./...
