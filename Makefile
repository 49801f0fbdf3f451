# cbmon: everything a person does here. `make run` and `make test` work on a machine that has
# Python 3.11, make and apt, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 3
# Prometheus watches files by inotify, of which the workers' resolvers may hold every instance; a
# sample that is late by half an interval looks like a missing one; a pace is held by who gets a turn.
ALONE  := $(addprefix tests/integration/test_,service_discovery.py remote_write.py clock_steps.py)
FUZZING := tests/component/hostile/test_fuzz.py

.DEFAULT_GOAL := help
.PHONY: help run test test-long bench lint format lock clean

help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed  ## run the daemon on its quick-start configuration, page on http://127.0.0.1:9813
	@$(BIN)/python examples/quickstart/run.py

test: $(VENV)/.installed-dev servers lint  ## install what tests need, check everything, run the tests
	$(PYTEST) -m "not long" $(ALONE)
	$(PYTEST) -m "not long" --numprocesses $(WORKERS) --dist loadfile $(addprefix --ignore=,$(ALONE))

test-long: $(VENV)/.installed-dev  ## the tiers that take long: soak, many kills, boots, fuzzing
	@sh scripts/install-test-servers long
	$(PYTEST) -m long --timeout=3600 --ignore=$(FUZZING)
	$(PYTEST) -m long --timeout=3600 --numprocesses $(WORKERS) --dist load $(FUZZING)

bench: $(VENV)/.installed-dev servers  ## the benchmarks, each beside its peer where it has one
	$(BIN)/pip install --quiet --requirement requirements/bench.txt
	$(BIN)/python benchmarks/run.py

lint: $(VENV)/.installed-dev  ## format, lint, types and import layers
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: servers
servers:  ## the real servers that tests talk to, from Debian's packages
	@sh scripts/install-test-servers

lock: $(VENV)/.installed-dev  ## lock the dependencies with hashes
	sh scripts/lock

$(VENV)/bin/python:
	@sh scripts/make-venv "$(PYTHON)" $(VENV)

$(VENV)/.installed: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/run.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

clean:  ## remove what make and the tools made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist var
