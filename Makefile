# Each target does the set-up that it needs. `make search` runs the main job, `make test` the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: search test fast slow gpu gpu-tests gpu-benchmarks lint docs package clean results/README.md

search: $(BIN)/.installed
	$(BIN)/python run.py search

test: $(BIN)/.installed
	$(BIN)/python -m pytest -n auto

fast: $(BIN)/.installed
	$(BIN)/python -m pytest -n auto -m "not slow"

slow: $(BIN)/.installed
	$(BIN)/python -m pytest -n auto -m slow

# On a machine with a GPU, with the packages that are there: .venv where it was set up, else python3. Nothing is installed.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,python3)
MINUTES ?= 9

gpu:
	@status=0; $(MAKE) --no-print-directory gpu-tests || status=1; \
	$(MAKE) --no-print-directory gpu-benchmarks || status=1; exit $$status

gpu-tests:
	$(GPU_PYTHON) -m pytest -m cuda $$(grep -rl 'mark\.cuda' tests)

gpu-benchmarks:
	$(GPU_PYTHON) benchmarks/gpu.py --minutes $(MINUTES)

package: $(BIN)/.installed
	.ci/package

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy run.py nas methods spaces

results/README.md: $(BIN)/.installed
	$(BIN)/python -m nas.records.results_readme

docs: $(BIN)/.docs
	$(BIN)/python -m mkdocs build --strict

$(BIN)/.docs: $(BIN)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' -c constraints.txt
	touch $@

$(BIN)/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

clean:
	rm -rf .venv
