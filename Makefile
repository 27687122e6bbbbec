# The two commands of the README, and those of a developer. Everything happens in .venv, which is made when needed.
#
#   make demo     train a small network on real digits, export it, check the exported files
#   make test     the tests;  make test ARGS="tests/test_export.py -k names"
#   make lint     ruff         make types    mypy         make check    lint, types and tests
#   make docs     web pages of the documents and the API reference, in docs/_build/html
#   make test-lowest           the tests with the lowest versions that pyproject.toml allows, in .venv-lowest
#
# PYTHON=python3.12 chooses the interpreter that makes .venv; by default it is the first one that is new enough.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# As many test processes as there are cores, with one thread each; and the same random cases in every run. (Plain pytest
# draws new ones each time.)
PROCESSES ?= auto

.PHONY: demo test test-lowest docs lint types check clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/kcompile demo $(ARGS)

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 KCOMPILE_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --maxprocesses 8 --hypothesis-profile same_cases $(ARGS)

# The oldest packages have no wheels for the newest interpreters.
OLDEST ?= $(shell command -v python3.11 || command -v python3.12 || echo "$(PYTHON)")
test-lowest:
	@$(MAKE) --no-print-directory test VENV=.venv-lowest PYTHON="$(OLDEST)" CONSTRAINTS="--constraint tests/lowest.txt"

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint types test

# Stamps: an environment is made once, and again when pyproject.toml changes.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check $(CONSTRAINTS)
NEEDED := numpy, onnx, onnxruntime-gpu (which runs without a GPU too), h5py and PyYAML
SIZE := about 300 MB to download, 500 MB on disk

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing kcompile into $(VENV), with $(NEEDED): $(SIZE)."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-%: pyproject.toml tests/lowest.txt | $(VENV)/bin/python
	@echo "Installing kcompile into $(VENV), with $(NEEDED), and what is needed for '$*': $(SIZE)."
	@$(INSTALL) --editable '.[$*]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf .venv .venv-lowest docs/_build build dist demo_output *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
