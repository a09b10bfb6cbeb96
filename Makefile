# make demo         train, evaluate, draw and export a pose network on generated people (about ten minutes, 2 cores)
# make test         every test except those of large models, in WORKERS processes (2; they grow to 6 and 3 GB)
# make test-fast    the tests that are not marked slow (under three minutes, 2 cores)
# make test-zoo     the tests that run over models, large models included
# make test-newest  the fast tests in .venv-newest, on the newest packages that pyproject.toml allows
# make test-arm     runs exported files on aarch64 wheels under QEMU 10 or newer (Debian; about 330 MB in .arm/)
# make lint         ruff, and mypy
# make typecheck    mypy alone
# make docs         the documentation as a static site in site/; a warning is an error
# make constraints  writes the versions in .venv to constraints.txt; run it after the tests passed
#
# Each target makes its virtual environment when it is missing. Variables:
#   PYTHON=python3.12                  another interpreter
#   WORKERS=4                          test processes
#   PYTEST_ARGS="-k geometry"          more arguments of pytest
#   PIP_ARGS="-c constraints.txt"      more arguments of pip, here: exactly the versions of constraints.txt

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
# The ranges that were tested together. Without them pip takes the newest that pyproject.toml allows.
RANGES := -r requirements.txt
RTMLIB := rtmlib==0.0.16
PYTEST := JAX_PLATFORMS=cpu $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo test test-fast test-zoo test-newest test-arm lint typecheck docs constraints
demo: $(READY)
	$(VENV)/bin/python -m jaxpose.demo

test: $(READY)
	$(PYTEST) $(PYTEST_ARGS)

test-fast: $(READY)
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-zoo: $(READY)
	$(PYTEST) --zoo tests/models tests/export $(PYTEST_ARGS)

test-newest:
	rm -f .venv-newest/.ready  # so that pip looks for newer packages each time
	$(MAKE) --no-print-directory test-fast VENV=.venv-newest RANGES= \
	  PIP_ARGS="--upgrade --upgrade-strategy eager $(PIP_ARGS)"

test-arm: $(READY)
	$(VENV)/bin/pip install --quiet $(PIP_ARGS) -e ".[litert,ncnn]"
	JAX_PLATFORMS=cpu PYTHONPATH=. $(VENV)/bin/python tests/arm/run.py

lint: $(READY) typecheck
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

typecheck: $(READY)
	$(VENV)/bin/mypy

docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

# Without what differs from machine to machine: the checkout itself, CUDA libraries, local builds such as torch's +cpu.
constraints: $(READY)
	{ echo "# The exact versions that the test suite last passed on, written by \`make constraints\`:"; \
	  $(VENV)/bin/python -c "import platform as p; \
	    print('# Python', p.python_version() + ',', p.system(), p.machine() + ', CPU.')"; \
	  echo "# To install them: pip install -c constraints.txt -r requirements.txt"; \
	  $(VENV)/bin/pip freeze --exclude-editable | grep -Ev '^(nvidia|cuda|triton)| @ ' | sed 's/+.*//'; \
	} > constraints.txt

# requirements.txt holds the tested ranges, pyproject.toml the extras; --no-deps would hide a disagreement of the two. It is
# right for rtmlib, of which the tests read one class: it asks for OpenCV's other package, which replaces this one's files.
$(READY): requirements.txt pyproject.toml
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet $(PIP_ARGS) $(RANGES) -e ".[train,export,litert,quantize,ncnn,dev]"
	$(VENV)/bin/pip install --quiet --no-deps $(RTMLIB)
	touch $@

$(DOCS_READY): $(READY)
	$(VENV)/bin/pip install --quiet $(PIP_ARGS) -e ".[docs]"
	touch $@
