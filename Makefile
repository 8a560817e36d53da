# Short names for what cargo and `cargo x` do, as users of kvns know them. `make` lists them.

CARGO ?= cargo
PODMAN ?= podman
IMAGE ?= kvik:local
COMPOSE_FILE ?= packaging/compose.yaml
# What the server of `make run` is given.
ARGS ?= --kvns
# The servers that `make benchmark-compare` starts beside kvik, by name or path; the first one is the measure.
VS ?= kvns
# Seconds for each cell of a benchmark, and rounds over all cells.
BENCH_TEST_TIME ?= 5
BENCH_ROUNDS ?= 3

# The load shapes of kvns: 160 connections that wait for each reply, with values of 256 bytes, and 240
# connections with 30 commands under way, with values of 32.
DIRECT := --workload set,get --pipeline 1 --connections 160 --load-threads 8 --value-bytes 256
PIPELINED := --workload set,get --pipeline 30 --connections 240 --load-threads 8 --value-bytes 32
TIMES := --secs $(BENCH_TEST_TIME) --rounds $(BENCH_ROUNDS)

.DEFAULT_GOAL := help
.PHONY: help run build release check test lint fmt fmt-check clean benchmark benchmark-sharded benchmark-compare \
	podman-build podman-run podman-compose-up podman-compose-logs podman-compose-down

help: ## List these names
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start the server from a debug build
	$(CARGO) run -- $(ARGS)

build: ## Build with tests
	$(CARGO) build --workspace --tests

release: ## Build the binary that ships: target/dist/kvik
	$(CARGO) x dist

check: ## What a commit must pass besides the tests
	$(CARGO) x check

test: ## Run the tests
	$(CARGO) x test

lint: ## Run clippy
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

fmt-check: ## Check the format
	$(CARGO) fmt --all -- --check

clean: ## Remove what was built
	$(CARGO) clean

benchmark: ## The four load shapes of kvns, on one I/O thread
	$(CARGO) x bench $(TIMES) $(DIRECT)
	$(CARGO) x bench $(TIMES) $(PIPELINED)

benchmark-sharded: ## The same on all cores, which share one store
	$(CARGO) x bench $(TIMES) $(DIRECT) --threads $$(getconf _NPROCESSORS_ONLN)
	$(CARGO) x bench $(TIMES) $(PIPELINED) --threads $$(getconf _NPROCESSORS_ONLN)

benchmark-compare: ## The same beside the servers in VS, with a table of ratios
	$(CARGO) x bench $(TIMES) $(DIRECT) $(addprefix --vs ,$(VS))
	$(CARGO) x bench $(TIMES) $(PIPELINED) $(addprefix --vs ,$(VS))

podman-build: ## Build the image
	$(PODMAN) build -f packaging/Containerfile -t $(IMAGE) .

podman-run: ## Run it under the name of kvns, with its data in a volume
	$(PODMAN) run --rm --name kvns --entrypoint kvns -p 6480:6480 -p 9090:9090 -v kvns-data:/data $(IMAGE)

podman-compose-up: ## Start the services of the compose file
	$(PODMAN) compose -f $(COMPOSE_FILE) up -d --build

podman-compose-logs: ## Follow their logs
	$(PODMAN) compose -f $(COMPOSE_FILE) logs -f

podman-compose-down: ## Stop them
	$(PODMAN) compose -f $(COMPOSE_FILE) down
