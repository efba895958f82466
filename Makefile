# `make` says what there is. Everything lives in .venv and build/; nothing needs root.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
DOCS ?= docs
TORCH_INDEX ?=
UPGRADE ?=
DOCKER_BUILD ?=
NAME ?= local
IMAGE ?= $$(.venv/bin/python -c 'from ragline.images import reference; print(reference("$(NAME)"))')

# With documents of your own and no question, ask something that any corpus can answer.
ifeq ($(origin DOCS),file)
QUESTION ?= What happens to a file that cannot be read?
else
QUESTION ?= What is this about?
endif
# As given: a question may ask what costs $$5.
override DOCS := $(value DOCS)
override QUESTION := $(value QUESTION)
export DOCS QUESTION

PIP := .venv/bin/python -m pip --disable-pip-version-check -qq
UV := build/uv/bin/uv
DEMO := local pipelines serve
IMAGES := $(filter-out triton,$(notdir $(patsubst %/,%,$(wildcard images/*/))))
WITH_TORCH := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
LOCK := $(UV) pip compile --quiet setup.py --python-version 3.11 --universal --no-emit-index-url --no-emit-find-links \
  --custom-compile-command 'make lock' $(WITH_TORCH)
METADATA := setup.py ragline/__init__.py
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint pipelines lock triton wheel image clean

help:  ## show this
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'make demo DOCS="folder of yours" QUESTION="what you want to know"'

demo: .venv/.demo build/.compiled triton  ## index and serve documents (DOCS, default docs/), ask them a QUESTION, show the cited answer
	@PATH="$(CURDIR)/.venv/bin:$$PATH" sh examples/demo.sh

test: .venv/.dev triton lint  ## install what the checks need and run them, but for the slow tests
	.venv/bin/python -m pytest -q

lint: .venv/.dev  ## ruff and mypy alone
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

pipelines: .venv/.demo  ## compile the pipelines anew, to ragline/compiled/
	.venv/bin/python -m pipelines

lock: $(UV)  ## make images/*.txt and images/*/requirements.txt anew; UPGRADE=1 takes newer versions
	$(LOCK) --annotation-style line $(if $(UPGRADE),--upgrade) --all-extras images/local/requirements.in images/llm/requirements.in -o images/versions.txt
	for image in $(IMAGES); do $(LOCK) --no-annotate --constraints images/versions.txt --extra $$image \
	  images/$$image/requirements.in -o images/$$image/requirements.txt || exit 1; done
	$(subst setup.py ,,$(LOCK)) --no-deps --no-annotate images/triton/requirements.in -o images/triton/requirements.txt

triton: build/triton/.installed  ## make the environment of a Triton server on this machine

wheel: .venv/.dev  ## build dist/ragline-*.whl
	rm -rf build/lib dist && mkdir -p build
	.venv/bin/python -m build --wheel --no-isolation --outdir dist . >build/wheel.log 2>&1 || { cat build/wheel.log; exit 1; }

image: .venv/.demo  ## build an image of the components (NAME, default local); DOCKER_BUILD adds options
	docker build --quiet $(DOCKER_BUILD) -f images/$(NAME)/Dockerfile -t "$(IMAGE)" \
	  --build-arg VERSION="$$(.venv/bin/python -c 'import ragline; print(ragline.__version__)')" .

clean:  ## remove what the other targets made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/.python:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo 'No Python "$(PYTHON)" here: install Python 3.11 (Debian: apt-get install python3 python3-venv).' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || { \
	  echo "ragline needs Python 3.11 or 3.12, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another with make PYTHON=..." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv (or the package for your Python)." >&2; exit 1; }
	@echo 'Making .venv'
	@"$(PYTHON)" -m venv .venv
	@touch $@

# The weights in the lock of `local` declare sentence-transformers, and so PyTorch, which answering does not use:
# hence --no-deps, and so it is with those of `llm`. A lock names everything that it needs.
.venv/.demo: .venv/.python $(DEMO:%=images/%/requirements.txt) $(METADATA)
	@echo 'Installing what the demo needs (a minute or two, once)'
	@$(PIP) install --no-deps $(DEMO:%=-r images/%/requirements.txt)
	@$(PIP) install --no-deps --editable .
	@touch $@

# With dependencies: only pip knows which CUDA packages the PyTorch wheel that it finds asks for.
.venv/.dev: .venv/.python images/dev/requirements.txt images/llm/requirements.txt $(METADATA)
	@echo 'Installing what the checks need (a few minutes, once)'
	@$(PIP) install $(WITH_TORCH) -r images/dev/requirements.txt
	@$(PIP) install --no-deps -r images/llm/requirements.txt
	@$(PIP) install --no-deps --editable .
	@touch $@ .venv/.demo

# Its Python backend needs numpy 1, so it has an environment of its own; ragline is not installed there.
build/triton/.installed: .venv/.python images/triton/requirements.txt
	@echo 'Installing the Triton server (about a minute, once)'
	@.venv/bin/python -m venv build/triton
	@build/triton/bin/python -m pip --disable-pip-version-check -qq install --no-deps -r images/triton/requirements.txt
	@touch $@

build/.compiled: .venv/.demo $(wildcard components/*.py pipelines/*.py) ragline/images.py ragline/__init__.py
	@mkdir -p build
	@.venv/bin/python -m pipelines
	@touch $@

$(UV): .venv/.python
	@.venv/bin/python -m venv build/uv
	@build/uv/bin/python -m pip --disable-pip-version-check -qq install uv==0.13.8
