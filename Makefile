# Everything works on a fresh Debian with python3, make and git; set-up installs the rest and says so.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test test-quick lint format default-model bench docs screenshots clean

help:
	@echo "make demo           set up, then classify a simulated micrograph with the bundled model"
	@echo "make test           set up, then run all tests"
	@echo "make test-quick     the tests that take seconds"
	@echo "make lint           ruff and mypy"
	@echo "make default-model  simulate, train, evaluate and write a model as the bundled one to default-model/ (up to 90 minutes)"
	@echo "make bench          throughput, memory, import time and the real photographs, where they are"
	@echo "make screenshots    the pictures of README and docs"
	@echo "make docs           the documentation as a site"

setup: $(READY)

$(READY): pyproject.toml constraints.txt tools/setup.sh
	PYTHON=$(PYTHON) VENV=$(VENV) sh tools/setup.sh
	@touch $@

demo: setup
	$(BIN)/ore-minerals demo --out demo

test: setup
	$(BIN)/python -m pytest -m alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" -n 2 --dist loadfile --durations=20 \
		--cov --cov-report=term --cov-fail-under=90

test-quick: setup
	$(BIN)/python -m pytest -m "not slow"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate --imports napari-ore-minerals

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

default-model: setup
	$(BIN)/python -m napari_ore_minerals.learning.default_model default-model
	$(BIN)/python benchmarks/lumenstone.py zero-shot --model default-model --into-card

bench: setup
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/lumenstone.py zero-shot

screenshots: setup
	xvfb-run -a -s "-screen 0 1600x1000x24" $(BIN)/python docs/make_screenshots.py

docs: setup
	$(BIN)/pip install --quiet --constraint constraints.txt ".[docs]"
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) demo site dist .mypy_cache .ruff_cache .pytest_cache
