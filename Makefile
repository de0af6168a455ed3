# `make` alone prints this help; every target below that carries a `##` comment is in it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first that runs and can make an environment: a shim on PATH may stand for a Python that is not there.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13; do \
	$$name -c 'import ensurepip, venv' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPILED := CMakeLists.txt engine/format/layout.py $(wildcard engine/kernels/cpu/*.cpp engine/kernels/cpu/*.h)
TYPED := $(wildcard schemas engine worker services starter tests bench)
# Test processes side by side, each with its own Redis servers; more than the cores only adds waiting.
JOBS ?= 2
# One thread per test process: torch would otherwise start as many threads as there are cores in each.
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo up test test-all check format bench

help: ## Print this help.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

install: $(INSTALLED) ## Install Lynceus into .venv; the other targets do it when needed.

$(INSTALLED): pyproject.toml requirements/torch.txt requirements/constraints.txt $(COMPILED)
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 with venv on PATH: install one, or run make PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --disable-pip-version-check -c requirements/constraints.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED) ## Inspect the sample images from camera to report, on servers of its own; then stop.
	$(BIN)/lynceus demo

up: $(INSTALLED) ## Start the same processes and leave them running until Ctrl-C.
	$(BIN)/lynceus up

test: $(INSTALLED) ## Test the product (under 4 minutes on 2 cores).
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

test-all: $(INSTALLED) ## Test everything: kernel emulation, compression, benches and pages too (under 15 minutes).
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(INSTALLED) ## Lint, check the format, check the types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(TYPED)

format: $(INSTALLED) ## Put every file into the house format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure what this machine can, WORK=folder for more; says what the rest needs.
	$(BIN)/python -m bench $(if $(WORK),--work $(WORK))
