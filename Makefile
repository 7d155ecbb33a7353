PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# An index that torch and torchvision are taken from, as https://download.pytorch.org/whl/cpu; else PyPI, with CUDA.
TORCH_INDEX ?=
# What is installed beside the package: what its tests and style need; `docs` is what the site needs.
EXTRAS ?= dev
STAMP := .venv/.installed-$(EXTRAS)

.DEFAULT_GOAL := help
.PHONY: help install demo train test check slow-tests lint docs notebooks tensorboard bench bench-gpu reproduce-gpu record-gpu soak clean

# What `make check` leaves to `make test`: what trains for a while, waits for processes, or opens hostile files.
SLOW := $(patsubst %,tests/%,end_to_end checkpoints metrics) \
        $(patsubst %,tests/%.py,test_evaluate test_evaluate_runs test_generate test_generate_mistakes test_generate_print \
        test_generate_several test_report test_soak \
        callbacks/test_checkpoints callbacks/test_killed callbacks/test_pruning callbacks/test_same_pictures \
        callbacks/test_training_gif callbacks/test_within_epoch data/test_archive data/test_decoded_folder \
        data/test_download data/test_hostile_archives data/test_limits data/test_pixel_cache disk/test_locks \
        face/test_fitting likelihood/test_importance loggers/test_hparams loggers/test_mlflow loggers/test_showing \
        loggers/test_wandb machine/test_lifeline pictures/test_embedding reports/test_strangers_runs \
        runs/test_links runs/test_strangers_run search/test_mistakes search/test_sweeper training/test_execution \
        training/test_full_disk training/test_module training/test_resumed_callbacks training/test_resumed_run \
        training/test_resumed_state training/test_resumed_within_epoch)

help:  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## create .venv with this project and everything it needs

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX),)
	@$(PIP) --retries 1 --no-deps --index-url '$(TORCH_INDEX)' torch torchvision 2>/dev/null || \
	  { echo "TORCH_INDEX=$(TORCH_INDEX): does not answer, or has no$$(sed -n 's/^torch\(vision\)\{0,1\}==/ &/p' constraints.txt | tr -d '\n') for this Python" >&2; exit 1; }
endif
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@

demo: install  ## train on scikit-learn's digits, in about a minute, without network
	$(BIN)/python -m vae_lightning.train experiment=demo

train: install  ## train with ARGS, as in make train ARGS="data=anime model=conv5"
	$(BIN)/python -m vae_lightning.train $(ARGS)

# Code as it was compiled, with the tests' assertions rewritten and the types checked, is kept for all workers.
test check: export PYTHONDONTWRITEBYTECODE :=

test: install  ## run every test
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: lint  ## check style and types and run the quick tests, in two minutes at most
	$(BIN)/python -m pytest -n auto --dist worksteal $(SLOW:%=--ignore=%) $(ARGS)

slow-tests:  # the options that leave out what `make check` leaves out
	@echo $(SLOW:%=--ignore=%)

lint: install  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install  ## build the pages of docs/ into a site, docs/_site/index.html
	$(PIP) --editable '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env docs docs/_site
	@echo docs/_site/index.html

notebooks: install  ## run the notebooks in docs/notebooks, and keep what came out in them
	$(PIP) --editable '.[docs]'
	$(BIN)/python docs/notebooks/execute.py $(ARGS)

tensorboard: install  ## look at all runs in outputs/
	$(BIN)/vae-tensorboard --logdir outputs --samples_per_plugin images=500

bench: install  ## measure training speed beside a hand-written loop and other frameworks, in half an hour
	$(PIP) --editable '.[dev,bench]'
	$(BIN)/python -m benchmarks.throughput $(ARGS)

bench-gpu:  ## measure on an NVIDIA GPU with PYTHON's own PyTorch, without network: missing packages come from WHEELS=<folder>
	$(if $(WHEELS),$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .bench-gpu $(WHEELS)/*.whl)
	PYTHONPATH=.bench-gpu:. $(PYTHON) -m benchmarks.gpu $(ARGS)

reproduce-gpu:  ## train the cells of a published table on an NVIDIA GPU in 8 minutes, with PYTHON and WHEELS as bench-gpu
	$(if $(WHEELS),$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .bench-gpu $(WHEELS)/*.whl)
	PYTHONPATH=.bench-gpu:. $(PYTHON) -m benchmarks.reproduce_gpu $(ARGS)

record-gpu:  ## train experiment=hvae_mnist on an NVIDIA GPU and evaluate it in 9 minutes, or go on with it, likewise
	$(if $(WHEELS),$(PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .bench-gpu $(WHEELS)/*.whl)
	PYTHONPATH=.bench-gpu:. $(PYTHON) -m benchmarks.record_gpu $(ARGS)

soak: install  ## kill runs and open hostile files for an hour at most, and record what came of it
	$(BIN)/python -m soak --jobs 2 $(ARGS); held=$$?; $(BIN)/python -m soak report; exit $$held

clean:  ## remove .venv and all caches; outputs/ stays
	rm -rf .venv .bench-gpu .pytest_cache .mypy_cache .ruff_cache dist build docs/_site docs/_beside docs/jupyter_execute
	find vae_lightning tests -name __pycache__ -type d -prune -exec rm -rf {} +
