# demo, test, test-slow, bench, bench-1m, lint, docs, results: each sets up what it needs. VENV=path reuses an environment.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.calumma

.PHONY: samplers demo test test-slow bench bench-1m lint docs results clean
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Calumma needs Python 3.11 or later; say PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(STAMP)-starter: pyproject.toml plugins/starter/pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e plugins/starter -e '.[starter]'
	@touch $@

$(STAMP)-test: pyproject.toml plugins/starter/pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e plugins/starter -e '.[starter,test]'
	@touch $(STAMP)-starter $@

demo: $(STAMP)-starter  ## draw ten prompts, with and without retrieval
	$(BIN)/python examples/demo.py --out out/demo

lint: $(STAMP)-test  ## style, types, and the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p calumma
	$(BIN)/mypy -p calumma_plugins
	$(BIN)/lint-imports

test: lint  ## what must hold before anything lands
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)-test  ## the heavier checks
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)-test  ## ratios against the peers, to benchmarks/results/*.json
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/retrieval.py --n 100000 --out benchmarks/results/retrieval-100k.json
	$(BIN)/python benchmarks/ingest.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/jacobi.py

bench-1m: $(STAMP)-test  ## retrieval over a million vectors: hours, 10 GB of disk, 12 GB of memory; goes on where it was stopped
	$(BIN)/python benchmarks/retrieval.py --n 1000000 --out benchmarks/results/retrieval-1m.json

results: $(STAMP)-test  ## measure the starter and write docs/results.md
	$(BIN)/python -m pip install --quiet -e '.[recipe]'
	$(BIN)/python plugins/starter/recipe/measure.py --out docs/results.md

samplers: $(STAMP)-starter  ## draw six prompts under six samplers, to docs/images/samplers.png
	$(BIN)/python examples/samplers.py

docs: $(STAMP)-test  ## build the site strictly, to site/index.html
	$(BIN)/python docs/make_site.py --out site

clean:
	rm -rf out site .pytest_cache .mypy_cache .ruff_cache .hypothesis
