# Everything runs in a virtual environment that `make install` makes: $(VENV).
#   PYTHON=/path/to/python3.11   interpreter to make it with (default: the first fitting one of python3, python3.12 ...)
#   TORCH_INDEX=URL              extra package index for PyTorch, such as its index of CPU wheels
#   EXTRAS=dev,docs              what `make install` installs: with docs too, it is resolved once
#   GPU_PACKAGES="dgl ..."       of `make gpu-wheels`: less than all, where the machine with the GPU has the others
#   GPU_ARGS="--small"           options of `make gpu-check`, which needs no $(VENV): GPU_PYTHON=python3 with PyTorch
#   RAW=DIR NODES=N SEEDS=N      of `make demo`: real raw files instead of generated ones, size, number of seeds

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
TORCH_INDEX ?=
EXTRAS ?= dev
RAW ?=
NODES ?= 1500
SEEDS ?= 1
DEMO ?= $(if $(RAW),build/demo-$(notdir $(abspath $(RAW))),build/demo)
PYTEST_ARGS ?=
GPU_PYTHON ?= python3
GPU_PLATFORMS := $(foreach glibc,28 27 24 17 12,--platform manylinux_2_$(glibc)_x86_64) \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64
GPU_ARGS ?=
GPU_PACKAGES ?= numpy pandas python-dateutil six pyarrow scipy scikit-learn joblib threadpoolctl narwhals numba llvmlite \
    dgl networkx requests certifi charset-normalizer idna urllib3 tqdm psutil packaging pyyaml safetensors \
    typer shellingham annotated-doc pydantic pydantic-core annotated-types typing-inspection typing-extensions \
    rich markdown-it-py mdurl pygments
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test abuse test-adapters test-gpu gpu-wheels gpu-check lint docs bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15
	sed -n 's/^#   \(.*\)/  \1/p' Makefile

install: $(STAMP) ## make .venv with everything installed, and look whether it works
	@$(BIN)/dysign-doctor

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@for candidate in $(or $(PYTHON),python3 python3.12 python3.11 python3.10); do
	    if "$$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2> /dev/null; then
	        python=$$candidate; break
	    fi
	done
	if [ -z "$${python:-}" ]; then
	    echo "make install: Python 3.10, 3.11 or 3.12 is needed (DGL has no wheels for others), found" \
	        "$$($(or $(PYTHON),python3) --version 2>&1 | head -n 1). Name one: make install PYTHON=/path/to/python3.11" >&2
	    exit 2
	fi
	echo "1/3 environment $(VENV) ($$("$$python" --version))"
	"$$python" -m venv $(VENV)
	echo "2/3 PyTorch (up to some gigabytes where it comes with CUDA)"
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	echo "3/3 DGL and the rest (some minutes)"
	$(PIP) --editable '.[$(EXTRAS)]'
	touch $@ $(if $(findstring docs,$(EXTRAS)),$(VENV)/.docs)

# One thread each: beside other load, threads that wait for each other spin, and take five times as long.
demo: export OMP_NUM_THREADS = 1
demo: $(STAMP) ## raw files -> prepared folders -> Dy-SIGN and UnderGS, figures and a report (RAW= NODES= SEEDS=)
	@raw="$(RAW)"
	if [ -z "$$raw" ]; then
	    raw=$(DEMO)/raw
	    $(BIN)/dysign-prep synth dblp "$$raw" --nodes $(NODES) --overwrite
	fi
	$(BIN)/dysign-prep dblp "$$raw" $(DEMO)/prepared --overwrite
	$(BIN)/dysign-train nodes $(DEMO)/prepared --run-dir $(DEMO)/run --seeds $(SEEDS) --no-choice --overwrite \
	    $(if $(RAW),,--decay 1) # what a search finds here, in thirty times the time
	$(BIN)/dysign-prep synth bitcoin-otc $(DEMO)/raw-links --events 3000 --overwrite
	$(BIN)/dysign-train links --raw $(DEMO)/raw-links --run-dir $(DEMO)/run-links \
	    --seeds $(SEEDS) --overwrite --rows recent-degree common-neighbours boosted-trees undergs-no-counts undergs
	$(BIN)/dysign-report $(DEMO)/run $(DEMO)/run-links -o $(DEMO)/report.html --overwrite
	echo "Open $(DEMO)/report.html: each row beside the best control. Figures of generated data show that the parts work, not how good they are."

test: export OMP_NUM_THREADS = 1
test: $(STAMP) ## run the whole test suite (real data: DYSIGN_DATA, default ../shared/data)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

abuse: $(STAMP) ## damaged and hostile files for every reader, trainings killed: many minutes (ABUSE_ARGS="code half")
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.abuse $(ABUSE_ARGS)

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-adapters: ## the adapters' tests with the packages they adapt to, in $(VENV)-adapters
	@$(MAKE) --no-print-directory VENV=$(VENV)-adapters $(VENV)-adapters/.adapters
	OMP_NUM_THREADS=1 $(VENV)-adapters/bin/python -m pytest -q -n 2 tests/adapters $(PYTEST_ARGS)

$(VENV)/.adapters: $(STAMP)
	@$(PIP) --editable '.[dev,tgm,tgb,pyg]'
	$(PIP) --no-deps relbench torch-geometric-temporal # for its tables alone; the needs of the other have no wheels
	touch $@

test-gpu: $(STAMP) ## Triton's kernels: on a GPU or, without one, interpreted and compiled (installs triton: a gigabyte)
	@$(PIP) --editable '.[dev,triton]'
	$(BIN)/python -m pytest -q tests/ops/test_packed_triton.py $(PYTEST_ARGS)

gpu-wheels: $(STAMP) ## what `make gpu-check` needs beyond PyTorch, for Python 3.12, in build/gpu-wheels (200 MiB)
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --constraint constraints.txt --no-deps \
	    --only-binary=:all: --python-version 3.12 --implementation cp $(GPU_PLATFORMS) -d build/gpu-wheels $(GPU_PACKAGES)
	du -sh build/gpu-wheels

gpu-check: ## every path that runs on a GPU, there: right, and how fast (GPU_ARGS="--device cpu": without a GPU)
	@site=
	if compgen -G 'build/gpu-wheels/*.whl' > /dev/null; then # without them: what is installed
	    site=build/gpu-site
	    $(GPU_PYTHON) -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --upgrade \
	        --target "$$site" build/gpu-wheels/*.whl
	fi
	PYTHONPATH="$$PWD/$$site:$$PWD" $(GPU_PYTHON) benchmarks/gpu_check.py $(GPU_ARGS)

$(VENV)/.docs: $(STAMP)
	@$(PIP) --editable '.[dev,docs]'
	touch $@

docs: $(VENV)/.docs ## build the documentation in build/docs, warnings as errors
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d build/doctrees docs build/docs
	$(BIN)/sphinx-build -W -q -b linkcheck -d build/doctrees docs build/linkcheck # from what was read for the pages
	echo build/docs/index.html

bench: $(STAMP) ## run every benchmark; rows and pictures in build/benchmarks (QUICK=1: small sizes)
	@$(BIN)/python benchmarks/run.py --resume $(if $(QUICK),--quick build/benchmarks-quick)

clean: ## remove what was built, not $(VENV)
	rm -rf build dist docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
