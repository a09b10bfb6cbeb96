# make demo   train, evaluate, draw and export a pose network on generated people (about ten minutes, 2 cores)
# make test   every test, in WORKERS processes (2; each takes about 3 GB)
# make test-zoo   the tests that run over models, large models included
# make lint   ruff
# Each makes .venv when it is missing. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test test-zoo lint
demo: $(READY)
	$(VENV)/bin/python -m jaxpose.demo

test: $(READY)
	JAX_PLATFORMS=cpu $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-zoo: $(READY)
	JAX_PLATFORMS=cpu $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal --zoo tests/models tests/export $(PYTEST_ARGS)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# requirements.txt holds the tested ranges, pyproject.toml the extras; --no-deps would hide a disagreement of the two.
$(READY): requirements.txt pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -r requirements.txt -e ".[export,dev]"
	touch $@
