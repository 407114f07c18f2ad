# make compare   install, then compare four architectures on real text (minutes)
# make test      install, then lint, types and tests
# make test-all  the same, and the slow tests
# make bench-peers   our backbones beside transformers, x-transformers and mambapy (half an hour)
#
# On a machine without a GPU, PyTorch's CPU build is a tenth of the download:
#   make compare TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# Two test processes of one thread each use two cores better than one process of two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

.PHONY: compare test test-all bench-peers lint install clean
compare: install
	$(BIN)/archs-compare

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

bench-peers: install
	$(BIN)/pip install --quiet --disable-pip-version-check $(INDEX) -c constraints.txt -e '.[peers]'
	$(BIN)/python -m harness.peers

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "archs needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check $(INDEX) -c constraints.txt -e '.[test,joblib]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
