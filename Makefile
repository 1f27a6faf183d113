# make alone lists what there is. Every target sets up .venv first where it is missing or older than what it is made from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# DVC runs the stages with the python that it finds first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint format verify lock

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## set up .venv: the versions of requirements.lock, and colorpipe itself

repro: $(READY) ## run the whole pipeline on the bundled photographs (or what params.yaml says): dvc repro
	$(BIN)/dvc repro

test: $(READY) ## run the tests
	$(BIN)/pytest

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## mend style and formatting where that can be done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

verify: $(READY) ## compare the metrics here with the committed ones: within a stated tolerance?
	$(BIN)/python tests/compare_metrics.py

lock: $(READY) ## write requirements.lock anew: the newest versions that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --quiet --upgrade --no-header --no-annotate --group dev pyproject.toml --output-file requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colorpipe needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
