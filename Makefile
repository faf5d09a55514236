# Yizhan. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.yizhan-ready
# The tests start our programs hundreds of times; compiled once, they are up sooner.
unexport PYTHONDONTWRITEBYTECODE
# Processes that `make test` shares the tests among, file by file: one more than there are cores, as many tests
# wait. 0 runs them one after the other, as pytest alone does.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 8 ? n + 1 : 8)))

.PHONY: help setup check test peers demo bench bench-balance bench-bus bench-web mutants prove screenshots clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml uv.lock
	@PYTHON="$(PYTHON)" deploy/dev/setup.sh
	@touch $@

setup: $(STAMP) ## make .venv with everything (uv when found, else venv and pip)

check: $(STAMP) ## lint, format, types, import rules, length of modules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	deploy/dev/check_lines.sh

test: $(STAMP) ## all suites, with reduced counts (ARGS="tests/unit -k swap" narrows)
	@deploy/dev/packages.sh tests
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

peers: $(STAMP) ## other people's clients and simulators against our devices and drivers, as a table
	@deploy/dev/packages.sh tests
	$(BIN)/pytest tests/peers $(ARGS)

demo: $(STAMP) ## a whole cabinet on your machine (ARGS="--swap" plays a swap, "--lan" for a phone)
	@$(BIN)/python -m deploy.demo $(ARGS)

bench: $(STAMP) ## tap to door, door to door: p95 against the targets
	@$(BIN)/python -m tests.bench $(ARGS)

bench-bus: $(STAMP) ## poll rounds, lock commands and dead devices on the wires, beside plain pymodbus
	@$(BIN)/python -m tests.bench.bus $(ARGS)

bench-balance: $(STAMP) ## the planner beside other solvers (ARGS="--full" up to 75,000 cabinets, "--policies")
	@$(BIN)/python -m tests.bench.balance $(ARGS)

bench-web: $(STAMP) ## the rider's page beside a React page; the console over 30,000 cabinets, 500 of it open
	@deploy/dev/packages.sh tests
	@$(BIN)/python -m tests.bench.web $(ARGS)

mutants: $(STAMP) ## break guards and safety rules on purpose: each must be found (ARGS=NAME for one)
	@$(BIN)/python -m tests.world $(ARGS)

prove: $(STAMP) ## the long proofs: full counts, slow tests, speed; ends with their table
	@deploy/dev/packages.sh tests
	@rm -f .artifacts/prove.jsonl
	@failed=0; \
	YIZHAN_PROVE=1 $(BIN)/pytest $(ARGS) || failed=1; \
	$(BIN)/python -m tests.bench || failed=1; \
	$(BIN)/python -m tests.bench.bus || failed=1; \
	$(BIN)/python -m tests.world || failed=1; \
	$(BIN)/python -m tests.support.proof || failed=1; \
	exit $$failed

screenshots: $(STAMP) ## take the screenshots of the READMEs again
	@deploy/dev/packages.sh tests
	YIZHAN_SCREENSHOTS=deploy/screenshots $(BIN)/pytest tests/system/test_browser.py \
		tests/unit/simulator/test_page.py tests/unit/simulator/test_terminal.py \
		tests/unit/web/test_browser_console.py \
		tests/unit/web/test_browser_desk.py tests/unit/web/test_browser_area.py \
		tests/unit/web/test_kiosk_browser.py

clean: ## remove everything that make made
	rm -rf .venv .artifacts .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
