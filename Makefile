# Everything stays inside this checkout: .venv (Python), .tools (programs obtained), .stack (the running stack's data).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Images often set it. Without the cache, each of a thousand processes compiles what it imports: 1 s of CPU a start.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PYTHON := $(VENV)/bin/python
STATE ?= .stack
ARGS ?=
PYTEST_ARGS ?=
# More than cores: half of the time tests wait for what real servers do. A file stays with one worker.
WORKERS ?= 6
# LOCKED=1 installs the versions that the tests last passed with, instead of the newest that fit.
LOCKED ?=
LOCK := requirements-dev.lock
# Not compiled beforehand: Python does that for the few modules that are used.
PIP := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-input --no-compile $(if $(LOCKED),--constraint $(LOCK))

# Each writes its files from the top of the checkout; tests/test_generate.py holds them to what is committed.
GENERATORS := exporter.exposition.reference prometheus.generate alertmanager.generate grafana.generate deploy.helm.generate tests.exposition.golden

# The first that is new enough; tried by running it, as pyenv leaves names in PATH that do not run.
FIND_PYTHON = for name in python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then command -v $$name; exit 0; fi; done; \
	echo "make: no Python 3.11 or newer found in PATH: install one (Debian 12: apt-get install python3 python3-venv)" >&2; exit 1

.PHONY: help up backfill-demo down status screenshots test test-compose lint format types generate lock dist bench drill fuzz audit sbom chaos soak clean distclean

help: ## Show this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/stack.stamp ## Start the whole platform on this machine, with demo data and a breach to watch
	@$(PYTHON) -m tools.stack up --state $(STATE) $(ARGS)

down: ## End what `make up` started; its data stay
	@python=$(PYTHON); [ -x $$python ] || python=$$($(FIND_PYTHON)); $$python -m tools.stack down --state $(STATE)

status: $(VENV)/stack.stamp ## Show what runs, what it has counted and the latest notifications
	@$(PYTHON) -m tools.stack status --state $(STATE)

screenshots: $(VENV)/screenshots.stamp ## Write pictures of the dashboards from a running Grafana; ARGS=--check looks for faults
	@$(PYTHON) -m tools.screenshots --state $(STATE) $(ARGS)

backfill-demo: $(VENV)/stack.stamp ## Give Prometheus the week before `make up`: takes some minutes
	@$(PYTHON) -m tools.stack backfill --state $(STATE)

test: lint types ## Check everything: lint, types, all tests on real servers
	@$(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-compose: $(VENV)/stack.stamp ## Run docker-compose.yml on a Docker engine of its own (as root; all, or ONLY="starts flows")
	@$(PYTHON) -m tools.containers $(ONLY)

.PHONY: docs kubernetes test-kubernetes image

kubernetes: $(VENV)/kubernetes.stamp ## Write deploy/kubernetes from the Helm chart
	@$(PYTHON) -m deploy.helm.chart

test-kubernetes: $(VENV)/kubernetes.stamp ## Check the Helm chart as Helm renders it, with several values
	@$(PYTHON) -m pytest --numprocesses 2 $(PYTEST_ARGS) deploy/tests

lint: $(VENV)/dev.stamp ## Check style and YAML
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check . || { echo "make: run 'make format'" >&2; exit 1; }
	@$(VENV)/bin/yamllint --strict --config-data \
		'{extends: default, ignore: [.venv, .tools, .stack, deploy/helm/platform-exporter/templates, deploy/helm/platform-exporter/files, deploy/kubernetes/exporter.yaml], rules: {line-length: {max: 300, ignore: [prometheus/rules, prometheus/tests, tests/sdk_outgoing/responses.yml]}, document-start: disable, braces: disable, comments: {min-spaces-from-content: 1}, truthy: {check-keys: false}}}' .

types: $(VENV)/dev.stamp ## Check types
	@$(VENV)/bin/mypy

generate: $(VENV)/dev.stamp ## Write all generated files again: documents, dashboards, Alertmanager's files, golden files
	@for module in $(GENERATORS); do $(PYTHON) -m $$module; done

format: $(VENV)/dev.stamp ## Format the code
	@$(VENV)/bin/ruff check --fix --quiet . || true
	@$(VENV)/bin/ruff format .

lock: $(VENV)/dev.stamp ## Write the versions installed here into requirements-dev.lock, after the tests passed
	@{ echo "# Written by 'make lock': what the tests last passed with ($$($(PYTHON) --version), Linux). Use: make LOCKED=1 test"; \
		$(PYTHON) -m pip freeze --exclude-editable --disable-pip-version-check; } > $(LOCK)

dist: $(VENV)/dev.stamp ## Build the packages of both distributions into dist/
	@for folder in sdk .; do $(PYTHON) -m build --outdir dist $$folder; done

docs: $(VENV)/docs.stamp ## Write the documentation as a site into site/, with its links checked
	@$(VENV)/bin/sphinx-build -c docs --builder html --nitpicky --fail-on-warning --keep-going --quiet . site
	@cp site/README.html site/index.html
	@echo "site/index.html"

image: ## Build the exporter's image with Docker, tagged with the version
	@docker build --tag platform-exporter:$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py) .

bench: $(VENV)/dev.stamp ## Measure what the README promises (all, or ONLY=counting)
	@for file in tools/benchmarks/$(or $(ONLY),[a-z]*).py; do \
		[ -f $$file ] || { echo "make: no benchmark '$(ONLY)': expected one of" $$(cd tools/benchmarks && ls [a-z]*.py | sed 's/\.py$$//') >&2; exit 2; }; \
		echo "== $$file"; \
		name=$${file%.py}; $(PYTHON) -m $${name//\//.} $(ARGS); done

drill: $(VENV)/dev.stamp ## Simulate incidents and watch who is notified and when (all, or ONLY=redis-frozen)
	@$(PYTHON) -m tools.drills $(ONLY) $(ARGS)

fuzz: $(VENV)/dev.stamp ## Try inputs that nobody meant to write (all, or ONLY=configuration)
	@$(PYTHON) -m tools.fuzz $(ONLY) $(ARGS)

chaos: $(VENV)/dev.stamp ## Break everything below the exporter and an application, each in turn; prints what was lost or doubled
	@$(PYTHON) -m tools.chaos $(ARGS)

soak: $(VENV)/dev.stamp ## The same for MINUTES=60, with a fault every minute; prints what grew, too
	@$(PYTHON) -m tools.chaos --minutes $(or $(MINUTES),60) --every 55 $(ARGS)

audit: $(VENV)/audit.stamp ## Look for known vulnerabilities in what the exporter needs
	@$(PYTHON) -m tools.supply audit

sbom: $(VENV)/dev.stamp ## Print what this installation is made of, as CycloneDX
	@$(PYTHON) -m tools.supply sbom

clean: ## End the stack and remove its data
	@python=$(PYTHON); [ -x $$python ] || python=$$($(FIND_PYTHON)); $$python -m tools.stack clean --state $(STATE)

distclean: clean ## Remove the virtual environment and the programs obtained, too
	@for record in .tools/*.location; do [ -f $$record ] && rm -rf "$$(cat $$record)" || true; done
	@rm -rf $(VENV) .tools .mypy_cache .ruff_cache .pytest_cache

# Again where pyproject.toml has changed, which takes a second where nothing is missing. Standard output is the target's own:
# `make sbom > sbom.json`.
$(VENV)/stack.stamp: pyproject.toml sdk/pyproject.toml
	@$(MAKE) $(VENV)/bin/pip >&2
	@echo "Installing what the stack needs into $(VENV)" >&2
	@$(PIP) --editable ./sdk --editable '.[stack]' >&2
	@touch $@

$(VENV)/dev.stamp: pyproject.toml sdk/pyproject.toml
	@$(MAKE) $(VENV)/bin/pip >&2
	@echo "Installing what the tests need into $(VENV)" >&2
	@$(PIP) --editable ./sdk --editable '.[stack,dev]' >&2
	@touch $(VENV)/stack.stamp $@

$(VENV)/screenshots.stamp: $(VENV)/dev.stamp
	@$(PIP) --editable '.[screenshots]' >&2
	@touch $@

$(VENV)/kubernetes.stamp: $(VENV)/dev.stamp
	@$(PIP) --editable '.[kubernetes]' >&2
	@touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	@$(PIP) --editable '.[docs]' >&2
	@touch $@

$(VENV)/audit.stamp: $(VENV)/dev.stamp
	@$(PIP) 'pip-audit>=2.7' >&2
	@touch $@

$(VENV)/bin/pip:
	@python=$$($(FIND_PYTHON)); echo "Making $(VENV) with $$python ($$($$python --version))" >&2; \
		$$python -m tools.stack.programs.virtualenv $(VENV) >&2
