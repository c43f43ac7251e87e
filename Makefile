# The only door.  Every target first makes the virtual environment it needs, so that on a machine with
# Python and make alone any of them works as the first command typed.
PYTHON ?= python3
# another Python has an environment of its own: `make test PYTHON=python3.13` works in .venv-3.13
version = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(version))
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup train test processes conformance check doctest notebooks bench bench-quick reproduce chaos dist docs \
  docs-check docs-links docs-serve clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# one stamp for each group of dependencies; a changed pyproject.toml installs again
$(BIN)/python:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "jaxrnn needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) --editable '.[cli]'
	@touch $@

$(VENV)/.%: pyproject.toml $(VENV)/.core
	$(PIP) --group $*
	@touch $@

setup: $(VENV)/.core  ## the virtual environment, .venv (.venv-3.13 with PYTHON=python3.13, for every target)

# other tasks read data that packages of their own carry
train: $(VENV)/.core $(if $(findstring --task,$(ARGS)),$(VENV)/.tasks)  ## a character language model on the standard library's English; ARGS="--help" tells more
	$(BIN)/python -m jaxrnn train $(ARGS)

# these run a program on each core; OpenBLAS would start as many threads in each, and wait for them by spinning
test processes reproduce: export OPENBLAS_NUM_THREADS := 1

test: $(VENV)/.dev  ## the laws and the unit tests
	$(BIN)/python -m pytest $(ARGS)

processes: $(VENV)/.dev  ## real programs, killed, on full disks, several at once
	$(BIN)/python -m pytest -m process $(ARGS)

conformance: $(VENV)/.dev $(VENV)/.conformance  ## the same numbers as PyTorch, onnxruntime, Keras, Flax, Haiku, Equinox
	$(BIN)/python -m pytest tests/conformance $(ARGS)

check: $(VENV)/.dev  ## ruff, codespell and pyrefly
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyrefly check

doctest: $(VENV)/.dev $(VENV)/.recipes  ## every example in the docstrings and in the docs, as a user runs them
	$(BIN)/python -m pytest -o addopts="-n 2 -q" --doctest-modules --doctest-glob='*.md' jaxrnn benchmarks/reproduce README.md docs/*.md docs/check/recipes.py $(ARGS)

notebooks: $(VENV)/.dev $(VENV)/.notebooks  ## run every notebook from its .py source and write the .ipynb
	$(BIN)/python notebooks/run.py $(ARGS)

bench: $(VENV)/.dev $(VENV)/.conformance  ## every benchmark beside its baselines
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.dev $(VENV)/.conformance  ## ratios of speed beside stored ones; fails if one is lost
	$(BIN)/python -m benchmarks.quick $(ARGS)

reproduce: $(VENV)/.dev  ## results of papers on long-term dependencies and reservoirs; ARGS=--full takes hours
	$(BIN)/python -m benchmarks.reproduce $(ARGS)

chaos: $(VENV)/.dev  ## kill a training run at 100 random moments and resume it each time
	JAXRNN_KILLS=100 $(BIN)/python -m pytest -m process tests/commands/test_chaos.py -n 0 $(ARGS)

docs: $(VENV)/.docs  ## the site, in docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs docs/_build/html $(ARGS)

docs-check: $(VENV)/.docs $(VENV)/.dev  ## the site in headless Chromium: console, formulas, search, a phone, the dark (installs Chromium where apt is available)
	@$(MAKE) --no-print-directory docs ARGS=  # ARGS is for pytest
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium chromium-driver; }
	$(BIN)/python -m pytest -o addopts="-n 2 --dist loadgroup -q" docs/check/in_a_browser.py $(ARGS)

docs-links: $(VENV)/.docs  ## every link out of the site; needs the network
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/links

docs-serve: docs  ## the site on http://localhost:8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build/html 8000

dist: $(VENV)/.dist  ## build the sdist and the wheel, check both, and try the wheel in an empty environment
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python .ci/try_wheel.py

clean:  ## remove the virtual environment and every cache
	rm -rf .venv .venv-* .pytest_cache .hypothesis .ruff_cache dist build docs/_build docs/notebooks docs/reference docs/gallery docs/gallery.md
