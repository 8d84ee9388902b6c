# `make train` and `make test` work on a fresh clone: either makes the virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The same words as in the README; a CPU build of torch is enough: pass PIP_ARGS="--index-url ..." to choose one.
INSTALLED := $(VENV)/.installed

.PHONY: train test lint clean

train: $(INSTALLED)
	$(BIN)/python launch.py --actors 8

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -e ".[dev]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV)
