# Ops Control Room. `make help` lists the targets; CI runs `make check` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The address and the database folder of `make run`.
LISTEN ?= 127.0.0.1:7070
DATA ?= .ops
# dev builds in a fraction of the time of release, and shares its build with the tests.
PROFILE ?= dev

# `make faults`: the number of seeds, how many run at a time, the seconds of faults of each, and the first seed. Without a
# first seed, seeds are random.
SEEDS ?= 10
PARALLEL ?= 2
SECONDS ?= 30
FIRST_SEED ?=

# The seconds of each target of `make fuzz`, and the number of inputs that `make test` tries.
TIME ?= 300
FUZZ_RUNS := 20000

# Arguments of `bench`, as in `make bench BENCH="drain --runs 5"`.
BENCH ?=

GRPCURL := .tools/bin/grpcurl
BUF := .tools/node_modules/.bin/buf
PYTHON := .tools/python/bin/python
NEED := tests/tools/need.sh
CARGO := cargo
# Cargo.lock does not change by itself, and CI uses the committed versions.
LOCKED := --locked
# With an example in the build, cargo gives dependencies the features that the tests need. With the same features
# everywhere, they are compiled once for `make run`, `make test` and `make check`.
LIKE_TESTS := $(if $(filter dev,$(PROFILE)),--examples)
TARGET := $(CARGO) metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make run takes LISTEN=$(LISTEN), DATA=$(DATA) (a folder) and PROFILE=$(PROFILE) (or release)."
	@echo "  make faults takes SEEDS=$(SEEDS), PARALLEL=$(PARALLEL), SECONDS=$(SECONDS) and FIRST_SEED (random without it)."

##@ Run it

.PHONY: run
run: need-cargo need-postgres ## Build it, start it with its own database, show a demo, continue to serve
	@$(CARGO) build $(LOCKED) --workspace --bin ops $(LIKE_TESTS) --profile $(PROFILE)
	@exec "$$($(TARGET))/$(PROFILE:dev=debug)/ops" dev --demo --listen $(LISTEN) --data-dir $(DATA)

.PHONY: clean-dev
clean-dev: need-cargo ## Remove the database of `make run`
	@$(CARGO) run --quiet $(LOCKED) --example remove_cluster -- $(DATA)

.PHONY: release
release: need-cargo need-objcopy ## Build the program for a server: `ops` without symbols, and `ops.debug` beside it for backtraces
	@$(CARGO) build $(LOCKED) --release --package cli
	@built="$$($(TARGET))/release"; mkdir -p "$$built/dist"; cd "$$built/dist"; \
		objcopy --only-keep-debug --compress-debug-sections=zlib ../ops ops.debug; \
		objcopy --strip-all --add-gnu-debuglink=ops.debug ../ops ops; \
		chmod 644 ops.debug; ls -l "$$PWD"/ops*

##@ Change it

.PHONY: test
test: need-cargo need-cxx need-postgres need-environments tools ## Run all tests of the whole workspace
	$(CARGO) test $(LOCKED) --workspace --no-fail-fast
	fuzz/run.sh -runs=$(FUZZ_RUNS) -seed=1
	$(MAKE) faults SEEDS=3 PARALLEL=3 SECONDS=20 FIRST_SEED=1

.PHONY: environments
environments: need-cargo need-postgres need-environments ## Run the tests with real PgBouncer, nginx, HAProxy and a clock that jumps
	$(CARGO) test $(LOCKED) --test environments

.PHONY: faults faults-broken
faults: need-cargo need-postgres ## Inject random faults into real processes, and prove that every promise holds
	@$(CARGO) build $(LOCKED) --workspace --bins --examples
	@"$$($(TARGET))/debug/faults" campaign --seeds $(SEEDS) --parallel $(PARALLEL) --seconds $(SECONDS) \
		$(if $(FIRST_SEED),--first-seed $(FIRST_SEED))

faults-broken: need-cargo need-postgres ## Prove that `make faults` catches three builds that each lack one guard
	@faults/broken/run.sh

.PHONY: bench bench-long bench-peers overload
bench: need-cargo need-postgres ## Measure this machine: a real server with real workers next to plain SQL
	@$(CARGO) build $(LOCKED) --release --package cli --package bench --bins
	@"$$($(TARGET))/release/bench" $(BENCH)

bench-long: need-cargo need-postgres ## The same with long scenarios: millions of runs, thousands of workers
	@$(CARGO) build $(LOCKED) --release --package cli --package bench --bins
	@"$$($(TARGET))/release/bench" --long $(BENCH)

bench-peers: need-cargo need-postgres ## Measure other queues, installed below .tools, for comparison
	PEERS_HOME=$(CURDIR)/.tools/peers bench/peers/install.sh
	@$(CARGO) build $(LOCKED) --release --package cli --package bench --bins
	@"$$($(TARGET))/release/bench" peers $(BENCH)

overload: need-cargo need-postgres ## Load a server with ten times its capacity, and check that its promises hold
	@$(CARGO) build $(LOCKED) --release --package cli --package bench --bins
	@"$$($(TARGET))/release/bench" overload $(BENCH)

.PHONY: fuzz
fuzz: need-cargo need-cxx ## Search for input that breaks its parsers, for TIME seconds a target
	fuzz/run.sh -max_total_time=$(TIME)

.PHONY: check
check: check-fmt check-proto check-clippy check-doc check-sqlx check-tidy ## Run all checks of CI that do not run the program

.PHONY: fmt
fmt: need-cargo ## Format the Rust code
	$(CARGO) fmt --all

.PHONY: sqlx
sqlx: need-cargo need-postgres ## Prepare the SQL statements again (.sqlx), after a change of a statement or the schema
	tests/tools/sqlx.sh write

.PHONY: docs
docs: need-cargo ## Write the tables of docs/configuration.md again, after a change of a flag
	OPS_WRITE_DOCS=1 $(CARGO) test $(LOCKED) --quiet --package cli --bin ops config::reference

.PHONY: tools
tools: $(GRPCURL) $(PYTHON) ## Install the programs that the tests call into .tools

##@ The parts of `make check`

.PHONY: check-fmt check-proto check-clippy check-doc check-sqlx check-tidy
check-fmt: need-cargo
	$(CARGO) fmt --all --check

check-proto: $(BUF)
	$(BUF) lint
	tests/tools/breaking.sh $(BUF)

check-clippy: need-cargo
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings

check-doc: need-cargo
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --lib --bins --examples --no-deps --document-private-items

check-sqlx: need-cargo need-postgres
	tests/tools/sqlx.sh check

# The structure of the code, its words, and the licences and sources of dependencies.
check-tidy: need-cargo
	$(CARGO) test $(LOCKED) --workspace --test tidy

##@ Required programs, and those that are installed below .tools

.PHONY: need-cargo need-cxx need-environments need-objcopy need-postgres
need-cargo:
	@$(NEED) cargo

need-objcopy:
	@$(NEED) objcopy

need-cxx:
	@$(NEED) cxx

need-postgres:
	@$(NEED) postgres

need-environments:
	@for program in pgbouncer nginx haproxy faketime; do $(NEED) $$program; done

.tools:
	@mkdir -p .tools/bin

# Each is installed again only when its version changes.
$(GRPCURL): tests/tools/grpcurl.version | .tools
	@$(NEED) go
	GOBIN=$(CURDIR)/.tools/bin \
		go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v$$(cat tests/tools/grpcurl.version)
	@touch $@

$(PYTHON): tests/tools/requirements.txt | .tools
	@$(NEED) python3
	rm -rf .tools/python
	python3 -m venv .tools/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement tests/tools/requirements.txt
	@touch -c $@

$(BUF): tests/tools/package.json tests/tools/package-lock.json | .tools
	@$(NEED) npm
	cp tests/tools/package.json tests/tools/package-lock.json .tools/
	npm install --prefix .tools --no-save --ignore-scripts --silent --no-fund --no-audit
	@touch -c $@
