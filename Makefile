# What a person does here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Small matrices gain nothing from threads, and a test must not depend on how many there are.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test lint pages bench campaign audit

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (Python 3.10 or later)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV): some minutes, 2 GB"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)
	@echo "done; next: source $(BIN)/activate, then xbar --help"

demo: $(STAMP) ## program a mock board, sample φ⁴ on it, compare with HMC and exact numbers (5 minutes)
	@mkdir -p runs
	$(BIN)/xbar demo --out runs/demo.nc --force

test: $(STAMP) ## all tests but the slow ones (pytest -m slow)
	$(BIN)/python -m pytest -q -n 2 -m "not slow" -rs

lint: $(STAMP) ## style, types, import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pages: $(STAMP) ## make the generated pages of docs/ again
	$(BIN)/python -m lab_scripts.reference > docs/command-line.md
	$(BIN)/python -m firmware_bridge.isa > docs/instruction-set.md
	$(BIN)/python -m firmware_bridge.mock.datasheet_table > docs/datasheet-limits.md
	$(BIN)/python docs/reference/build.py

bench: $(STAMP) ## speed and memory, each beside its limit
	@status=0; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || status=1; done; exit $$status

campaign: $(STAMP) ## what shows that nothing hurts the chip and nothing is lost, in full (hours)
	@status=0; for script in benchmarks/campaign/*.py; do echo "== $$script"; $(BIN)/python $$script || status=1; done; exit $$status

# Strict: a package that the index says nothing of is a failure, not a pass. In an environment of its own, so that it brings nothing along.
audit: ## known vulnerabilities of the pinned dependencies; asks pypi.org
	@test -e .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit==2.10.1'; }
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off -r constraints.txt
