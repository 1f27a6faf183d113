# make alone lists what there is. Every target sets up .venv first where it is missing or older than what it is made from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# DVC runs the stages with the python that it finds first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint format verify lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## set up .venv: the versions of requirements.lock, and colorpipe itself

repro: $(READY) ## run the whole pipeline on the bundled photographs (or what params.yaml says): dvc repro
	dvc repro

test: $(READY) ## run the tests
	pytest

lint: $(READY) ## check style and formatting
	ruff check .
	ruff format --check .

format: $(READY) ## mend style and formatting where that can be done
	ruff check --fix .
	ruff format .

verify: $(READY) ## compare the metrics here with the committed ones: within a stated tolerance?
	python tests/compare_metrics.py

lock: $(READY) ## write requirements.lock anew: the newest versions that pyproject.toml allows
	pip install --quiet uv
	uv pip compile --universal --quiet --upgrade --no-header --no-annotate --group dev pyproject.toml --output-file requirements.lock

clean: ## remove everything that is not in git, .venv too
	git clean -fdx

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colorpipe needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
