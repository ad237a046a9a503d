# Headframe: `make demo` runs the main job on real data, `make test` passes the tests.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo up down test test-library test-dags test-platform prove check bench

UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-6s %s\n", $$1, $$2}'

demo: .venv/.installed  ## Run the whole loop on real flights, or USE_CASE=name; MANUAL=1 leaves the approval to you
	@$(RUN)/headframe demo $(USE_CASE) $(if $(MANUAL),--manual) $(if $(WEEKS),--weeks $(WEEKS))

up: .venv/.installed  ## Start the platform: Airflow and MLflow on loopback
	@$(RUN)/headframe up

down: .venv/.installed  ## Stop the platform; its state stays under .headframe/
	@$(RUN)/headframe down

test: .venv/.installed  ## Run the tests that CI runs
	@$(MAKE) --no-print-directory --jobs 3 test-library test-dags test-platform

test-library: .venv/.installed
	$(RUN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not prove and not platform" --ignore tests/dags

test-dags: .venv/.installed
	@# What one file registers with Airflow must not be another's.
	$(RUN)/python -m tests.apart 2 tests/dags/test_*.py

test-platform: .venv/.installed
	$(RUN)/pytest -m "platform and not prove" tests/e2e

prove: .venv/.installed  ## Run the long proofs, or FILES="..." of them, into docs/proof/
	$(RUN)/python -m tests.prove $(FILES)

check: .venv/.installed  ## Check style, types, layers and declarations
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/headframe check

bench: .venv/.installed  ## Measure a ratio against its goal: make bench NAME=tasks
	$(RUN)/python -m benchmarks.$(or $(NAME),$(error name a benchmark, such as make bench NAME=tasks))

.venv/.installed: pyproject.toml uv.lock | $(UV)
	@echo "Installing the locked packages into .venv ..."
	@$(UV) sync --locked --quiet
	@touch $@

.tools/bin/uv:
	@echo "Installing uv into .tools ..."
	@python3 -m pip --version >/dev/null 2>&1 || { \
	  echo "headframe: expected pip beside python3; found none."; \
	  echo "  Install it once: apt-get install python3-pip (as root), then run make again."; \
	  exit 1; }
	@python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
	  --target .tools uv
