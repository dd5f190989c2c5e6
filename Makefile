# `make demo` and `make test` need nothing but Python 3.11 or newer, make, and a package index:
# they set up their own .venv, and set it up again only when pyproject.toml has changed.
# `make PYTHON=python3.13 test` has one of its own, .venv-3.13; `make test-lowest` .venv-lowest.

IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
NAMED := $(PYTHON)
PYTHON ?= $(shell for p in python3.11 python3 python; do $$p $(IS_NEW_ENOUGH) && echo $$p && break; done)
VERSION := $(shell '$(PYTHON)' -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv$(if $(NAMED),-$(VERSION))
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
READY_FOR_ALL := $(VENV)/ready-for-all-backends
READY_FOR_DOCS := $(VENV)/ready-for-docs
LOWEST := .venv-lowest
INSTALL := pip install --quiet --editable '.[tensorflow,jax,onnx,examples,dev]'
BACKENDS := tensorflow jax torch
TORCH ?= torch
MNIST ?=
SPREAD := -n auto --maxprocesses 4 --dist loadfile
SEEDS ?= 1 2 3
NETWORKS ?= 10000

export KERAS_BACKEND ?= tensorflow
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-backends test-lowest fuzz slow check format docs mnist bench clean

help:  ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) \
	    | while IFS='|' read -r target what; do printf '%-21s %s\n' "$$target" "$$what"; done

demo: $(READY)  ## train on handwritten digits, convert, verify, load without allconv
	@$(RUN) examples/digits.py

test: $(READY)  ## run the tests, but for the slow ones; on JAX those of the backends
	@$(RUN) -m pytest $(SPREAD)
	@echo 'KERAS_BACKEND=jax' && KERAS_BACKEND=jax $(RUN) -m pytest tests/test_backends.py

test-backends: $(READY_FOR_ALL)  ## run them on TensorFlow, JAX and PyTorch; TORCH=torch==VERSION
	@failed=; for backend in $(BACKENDS); do \
	    echo "KERAS_BACKEND=$$backend"; \
	    KERAS_BACKEND=$$backend $(RUN) -m pytest $(SPREAD) || failed="$$failed $$backend"; \
	done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed" >&2; exit 1; }

test-lowest: $(LOWEST)/ready  ## run them on the oldest Python and packages that pyproject.toml allows
	@$(LOWEST)/bin/python -m pytest $(SPREAD) -W ignore::DeprecationWarning

fuzz: $(READY)  ## draw other examples than `make test`, SEEDS="1 2 3"; then NETWORKS in each mode
	@failed=; for seed in $(SEEDS); do \
	    echo "seed $$seed"; \
	    $(RUN) -m pytest $(SPREAD) -m 'hypothesis and not slow' \
	        --hypothesis-profile fuzz --hypothesis-seed $$seed || failed="$$failed $$seed"; \
	done; \
	[ -z "$$failed" ] || { echo "failed with seed:$$failed" >&2; exit 1; }
	@failed=; for onednn in 0 1; do \
	    TF_ENABLE_ONEDNN_OPTS=$$onednn $(RUN) -m tests.random_networks --examples $(NETWORKS) \
	        --seed $(firstword $(SEEDS)) || failed="$$failed $$onednn"; \
	done; \
	[ -z "$$failed" ] || { echo "networks failed with oneDNN:$$failed" >&2; exit 1; }

slow: $(READY)  ## run the slow tests: full-size networks
	@$(RUN) -m pytest -m slow

check: $(READY)  ## lint, format and types
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: $(READY)  ## mend what ruff can mend
	@$(RUN) -m ruff check --fix-only .
	@$(RUN) -m ruff format .

docs: $(READY_FOR_DOCS)  ## build the documentation as a site, in build/docs/html
	@$(RUN) -m sphinx -M html docs build/docs --fail-on-warning --keep-going --quiet
	@echo 'built: build/docs/html/index.html'

mnist: $(READY)  ## the MNIST example; MNIST=FOLDER for a mnist.npz that is already there
	@$(RUN) examples/mnist.py $(if $(MNIST),--data '$(MNIST)')

bench: $(READY)  ## the benchmarks: time and memory to report and convert, latency of what comes out
	@$(RUN) benchmarks/report.py
	@$(RUN) benchmarks/convert.py
	@$(RUN) benchmarks/inference.py
	@$(RUN) benchmarks/scaling.py
	@$(RUN) benchmarks/applications.py

clean:  ## remove .venv and its like, caches and builds
	rm -rf .venv .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@'$(PYTHON)' $(IS_NEW_ENOUGH) || { \
	    echo "allconv needs Python 3.11 or newer, and found $(if $(PYTHON),that '$(PYTHON)' is not,none)."; \
	    echo "Install it, or say where it is: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
	    exit 1; } >&2
	@echo "Setting up $(VENV); TensorFlow is large, so the first time takes some minutes."
	@'$(PYTHON)' -m venv $(VENV)
	@$(RUN) -m $(INSTALL)
	@touch $@

$(READY_FOR_ALL): $(READY)
	@$(RUN) -m pip install --quiet --editable '.[torch]' '$(TORCH)'
	@touch $@

$(READY_FOR_DOCS): $(READY)
	@$(RUN) -m pip install --quiet --editable '.[docs]'
	@touch $@

# Old packages have no wheels for newer Pythons, and are warned by newer ones that they need.
$(LOWEST)/ready: PYTHON := $(if $(NAMED),$(NAMED),python3.11)
$(LOWEST)/ready: pyproject.toml .ci/lowest.py
	@'$(PYTHON)' .ci/lowest.py >/dev/null || { \
	    echo "make test-lowest needs Python 3.11: make PYTHON=/path/to/python3.11 test-lowest" >&2; \
	    exit 1; }
	@echo "Setting up $(LOWEST); TensorFlow is large, so the first time takes some minutes."
	@'$(PYTHON)' -m venv $(LOWEST)
	@$(LOWEST)/bin/python .ci/lowest.py >$(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m $(INSTALL) --constraint $(LOWEST)/constraints.txt
	@touch $@
