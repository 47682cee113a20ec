# Everything a developer does, on a machine with Python 3.11+, git and make. `make help` lists it.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
CHECKED := src tests tools $(wildcard examples benchmarks)
PROSE := $(filter-out report.md,$(wildcard *.md)) docs
DIR ?= .
PACE ?= 0
ARGS ?=
WORKERS ?= 2
# The suite begins hundreds of processes: each module is compiled once for all of them, whatever the machine is set to.
COMPILED := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/.bytecode
# pyright comes from PyPI; without a node on PATH it runs on the one that its `nodejs` extra installs.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup hooks lock demo test explore conformance conformance-owf conformance-mcp conformance-kilo lint types format bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make the virtual environment from the lock file

$(STAMP): pyproject.toml uv.lock tools/setup.sh tools/find_python.sh
	@sh tools/setup.sh $(VENV)
	@touch $@

hooks: $(STAMP) ## Check every commit and its message from now on
	@$(BIN)/pre-commit install

lock: $(STAMP) ## Write uv.lock anew after a change of dependencies
	@$(BIN)/uv lock --default-index https://pypi.org/simple

demo: export DIR := $(DIR)
demo: export PACE := $(PACE)
demo: $(STAMP) ## Survey a source tree, report.md is the result: make demo DIR=path (PACE=0.05: slowly)
	@$(BIN)/python -c 'import os; float(os.environ["PACE"])' 2> /dev/null \
		|| { echo "PACE is \"$$PACE\", must be a number of seconds, such as 0.05" >&2; exit 2; }
	@$(BIN)/python -c 'import json, os; print(json.dumps({"directory": os.environ["DIR"], "pace": float(os.environ["PACE"])}))' \
		| $(BIN)/ripresa run examples/survey.py:survey --input -

ifeq ($(strip $(ARGS)),)
test: lint types ## Check everything; with ARGS="tests/core -k retry" run only these tests
	@$(BIN)/coverage erase
	$(COMPILED) $(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadgroup
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage json --quiet
	@$(BIN)/python tools/coverage_gate.py
else
test: $(STAMP)
	$(COMPILED) $(BIN)/python -m pytest $(ARGS)
endif

explore: $(STAMP) ## Look for histories that break a promise, with examples of chance (the gate has always the same)
	HYPOTHESIS_PROFILE=explore $(COMPILED) $(BIN)/python -m pytest -n $(WORKERS) -q tests/core $(ARGS)

conformance: conformance-owf conformance-mcp conformance-kilo ## Run the published suites (Open Workflow: OWS_HOME, MCP), and the real Kilo Code

conformance-owf: $(STAMP)
	@$(BIN)/python -m tests.conformance

conformance-mcp: $(STAMP)
	@$(BIN)/python -m tests.conformance.mcp

conformance-kilo: $(STAMP)
	@$(BIN)/python -m tests.conformance.kilo

lint: $(STAMP) ## Check style, format, the direction of imports and the documents
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/lint-imports --no-logo
	$(BIN)/pymarkdown scan --recurse $(PROSE)

types: $(STAMP) ## Check types with mypy and pyright
	$(BIN)/mypy $(CHECKED)
	$(BIN)/pyright

format: $(STAMP) ## Put the code into shape
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

bench: $(STAMP) ## Measure
	@$(BIN)/python -m benchmarks

clean: ## Remove what these commands made
	@rm -rf $(VENV) build dist htmlcov coverage.json .coverage .coverage.* .bytecode .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests tools -type d -name __pycache__ -prune -exec rm -rf {} +
