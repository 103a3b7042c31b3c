# What a person does here. `make` alone lists it.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Small matrices gain nothing from threads, and a test must not depend on how many there are.
export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo test lint bench campaign

help: ## list what can be done
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (Python 3.10 or later)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

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

bench: $(STAMP) ## speed and memory, each beside its limit
	@status=0; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || status=1; done; exit $$status

campaign: $(STAMP) ## what shows that nothing hurts the chip and nothing is lost, in full (hours)
	@status=0; for script in benchmarks/campaign/*.py; do echo "== $$script"; $(BIN)/python $$script || status=1; done; exit $$status
