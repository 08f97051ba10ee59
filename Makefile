# Everything a fresh machine needs is Python 3.10-3.13 (with venv) and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready$(if $(GPU),-gpu)
PINS   := requirements$(if $(GPU),-gpu).txt
ARGS   ?=
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url \
	pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help setup train test test-all lint check format tensorboard requirements clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  Settings: ARGS="experiment=... data.root=..."  PYTHON=python3.12  GPU=1  WORKERS=4'

setup: $(READY)  ## create .venv and install the pinned requirements (GPU=1 adds CUDA)

$(READY): $(PINS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) \
		else f"Expected Python 3.10 to 3.13. Received: {v[0]}.{v[1]}. Use make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "Expected Python's venv module; on Debian: apt install \
	python3-venv"; rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(PINS)
	@touch $@

train: $(READY)  ## train; ARGS="experiment=spade_facades data.root=DIR" passes overrides
	$(BIN)/python train.py $(ARGS)

test: $(READY)  ## run the quick tests in WORKERS processes; ARGS="-k name" goes to pytest
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(READY)  ## run all tests, the slow ones too
	$(PYTEST) $(ARGS)

lint: $(READY)  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test  ## what to run before a commit: lint and test

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tensorboard: $(READY)  ## watch all runs below outputs/, from this machine alone
	$(BIN)/tensorboard --host 127.0.0.1 --logdir outputs

requirements: $(READY)  ## pin anew after a change of pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --extra dev --output-file requirements.txt \
		--custom-compile-command "make requirements"
	$(COMPILE) --extra dev --extra gpu --output-file requirements-gpu.txt \
		--custom-compile-command "make requirements"

clean:  ## remove .venv and caches; runs and data sets stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
