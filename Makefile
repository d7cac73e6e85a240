# make demo and make test need Python 3.11+ and make; everything else comes from package indexes.
.DEFAULT_GOAL := help
VENV := .venv
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info)' 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test test-long faults lint types check bench pins
SIZE ?= 1M
N ?= 5
help:
	@echo "make demo   the whole system on generated data    make test   the tests"
	@echo "make test-long  tests that take minutes: simulations, failovers, browsers"
	@echo "make faults every fault N=5 times, and a soak of ten minutes"
	@echo "make check  lint, types and import directions     make pins   update pinned requirements"
	@echo "make bench  compare with other implementations (SIZE=10M for ten million transactions)"

$(READY): requirements.txt requirements-models.txt requirements-embedded.txt requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found on PATH." >&2; exit 1; }
	@echo "Installing packages into $(VENV), which takes a minute or two."
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-models.txt -r requirements-embedded.txt -r requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(READY)
	$(VENV)/bin/smartcrm demo

test: $(READY)
	$(VENV)/bin/python -m pytest -m "not long" --numprocesses 4 --dist worksteal

test-long: $(READY)
	$(VENV)/bin/python -m pytest -m long --numprocesses 2 --dist worksteal

faults: $(READY)
	$(VENV)/bin/python -m pytest tests/faults --numprocesses 2 --dist worksteal --times $(N) --report docs/faults.md

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

types: $(READY)
	$(VENV)/bin/mypy

check: lint types

bench: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	$(VENV)/bin/python -m bench --size $(SIZE)

# uv is used only as resolver: its files are valid for all supported Python versions and platforms.
pins: $(READY)
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade requirements.in -o requirements.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade --constraints requirements.txt requirements-embedded.in -o requirements-embedded.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade --constraints requirements.txt requirements-models.in -o requirements-models.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade requirements-dev.in -o requirements-dev.txt
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-emit-index-url --upgrade requirements-bench.in -o requirements-bench.txt
