# make setup: the environment in .venv; make study: the course lab within ten minutes; make test: all checks;
# make notebooks: the .ipynb from their sources.
PYTHON ?= python3
# As many processes as cores; tests of one file stay together and share what they set up.
PYTEST_FLAGS ?= -n auto --dist loadfile --no-loadscope-reorder

BIN := .venv/bin
READY := .venv/.ready
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

.PHONY: setup study test test-ci test-long coverage notebooks constraints clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null || $(PYTHON) $(NEW_ENOUGH) 2>/dev/null || { \
	  echo "make: $(PYTHON) is missing or older than Python 3.11 (install one, then say: make setup PYTHON=python3.12)" >&2; exit 1; }
	@$(BIN)/python $(NEW_ENOUGH) 2>/dev/null || $(PYTHON) -m venv --clear .venv || { \
	  echo "make: no virtual environment (on Debian and Ubuntu: sudo apt install python3-venv)" >&2; exit 1; }
	@{ $(BIN)/python -m pip install --quiet --disable-pip-version-check uv && \
	   $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	     --constraint constraints.txt --editable '.[dev]'; } || { \
	  echo "make: uv did not manage; pip does the same, more slowly" >&2; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; }
	@touch $@
	@echo "The environment is ready: $(BIN)/mnistlab --help"

# Exit status 6: finished, some runs failed. The report says which.
study: setup
	$(BIN)/mnistlab run lab --budget 10m || [ $$? -eq 6 ]
	$(BIN)/mnistlab report lab

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/python -m compileall -q src  # or, under PYTHONDONTWRITEBYTECODE, every command that a test starts would
	$(BIN)/python -m pytest -m "not ci and not long" $(PYTEST_FLAGS)

test-ci: setup
	$(BIN)/python -m pytest -m ci $(PYTEST_FLAGS)

test-long: setup
	$(BIN)/python -m pytest -m long $(PYTEST_FLAGS)

# Of the lines in src, those that `make test` runs, in all its processes that end by themselves.
coverage: setup
	$(BIN)/python -m pytest -m "not long" $(PYTEST_FLAGS) --cov --cov-report=term:skip-covered

notebooks: setup
	$(BIN)/python notebooks/build.py

constraints: setup
	@head -1 constraints.txt > .venv/header
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --all-extras --universal --python-version 3.11 \
	  --strip-extras --no-emit-index-url --no-annotate --no-header --output-file .venv/constraints
	@cat .venv/header .venv/constraints > constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* dist
