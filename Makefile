# `make help` lists what there is. Everything runs in VENV, made from requirements.lock when it is
# missing or older than the lock.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The peers that `make bench-corpus` measures beside us.
PEERS ?= .venv-bench
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint up bench-corpus bench-train bench-eval lock clean

help: ## show this list
	@echo "kajiya: from raw Japanese sources to a registered, quantized language model"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Needs Python 3.11 or newer, a C++ compiler and a package index. Then: $(BIN)/kajiya --help"

demo: $(READY) ## the whole pipeline on a sample world, and a report to look at
	$(BIN)/kajiya run --recipe smoke
	$(BIN)/kajiya status

test: $(READY) ## all tests, the whole pipeline among them
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: $(READY) ## the Prefect and MLflow servers on loopback, until Ctrl-C
	$(BIN)/honcho -f infra/Procfile start

bench-corpus: $(READY) $(PEERS)/.ready ## the corpus stages beside their peers, about ten minutes on a quiet machine
	$(BIN)/python -m benchmarks.corpus --peers $(PEERS)/bin/python

bench-train: $(READY) ## training beside its peers, checkpoints and drafts: under ten minutes on two quiet cores; more with a GPU
	$(BIN)/python -m benchmarks.train

bench-eval: $(READY) ## quantizing beside llm-compressor, evaluation beside plain lm-eval: a few minutes each on a quiet machine
	$(BIN)/python -m benchmarks.quantize
	$(BIN)/python -m benchmarks.eval

$(PEERS)/.ready: benchmarks/requirements.txt
	@echo "Making $(PEERS) from benchmarks/requirements.txt: 0.7 GB."
	@$(PYTHON) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --progress-bar off --no-deps --requirement benchmarks/requirements.txt
	@touch $(PEERS)/.ready

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11. Use another: make PYTHON=python3.12 ..."; exit 1; }
	@command -v c++ >/dev/null || { echo "error: no C++ compiler (c++) on PATH: install g++ or clang."; exit 1; }
	@echo "Making $(VENV) from requirements.lock: 3 GB, about two minutes."
	@$(PYTHON) -m venv --clear $(VENV) || { echo "error: no venv module: on Debian install python3-venv."; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --progress-bar off --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $(READY)
	@echo "$(VENV) is ready."

lock: ## write requirements.lock anew from what VENV holds now
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock

clean: ## remove what costs nothing to make again: VENV, caches (never data, models or the registry)
	rm -rf $(VENV) $(PEERS) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
