# The project's few commands. `make build` then `make test` is all a newcomer needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
WORKERS ?= 2
RUNS    ?= 1
APT    := $(if $(filter 0,$(shell id -u)),,sudo) apt-get
# Few and named: the whole of TeX Live is 7 GB, these are a small part of it. Chromium opens every page in the tests.
DOCS_PACKAGES := latexmk lmodern texlive-latex-base chromium

.PHONY: build install test lint format check verify-full docs docs-tools browser peers extras bench clean

build: install ## environment, then kernels, evidence and documentation
	$(BIN)/symloss build

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[toolkit,docs,dev]'
	touch $(STAMP)

test: lint check ## everything that must hold before a change goes in
	$(BIN)/python -m pytest -n $(WORKERS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: install ## the committed output is what the definitions give
	$(BIN)/symloss generate --check

verify-full: peers ## the slow ladder: more points, every check, every peer
	$(BIN)/symloss verify --full
	SYMLOSS_SLOW=1 $(BIN)/python -m pytest tests/peers

bench: install ## the whole grid, beside every library of the peers extra, into docs/performance.md; RUNS=3: medians of three
	$(BIN)/python -m pip install --quiet --editable '.[toolkit,docs,dev,peers]'
	$(BIN)/symloss bench --grid --compiled --apart --threads 1 --threads 2 --runs $(RUNS) --write docs/performance.md

docs: install
	$(BIN)/symloss docs

docs-tools: ## TeX for the PDF, Chromium for the tests of the site
	$(APT) update
	DEBIAN_FRONTEND=noninteractive $(APT) install --yes --no-install-recommends $(DOCS_PACKAGES)

browser: install ## every page of the site in a headless Chromium
	$(BIN)/python -m pip install --quiet --editable '.[toolkit,docs,dev,browser]'
	$(BIN)/python -m pytest tests/browser

peers: install ## beside torch, JAX and optax; inside XGBoost, LightGBM, CatBoost, scikit-learn and Dask
	$(BIN)/python -m pip install --quiet --editable '.[toolkit,docs,dev,peers]'
	$(BIN)/python -m pytest -n $(WORKERS) tests/peers tests/adapters

extras: install ## each extra alone in an environment of its own, its adapter called once; downloads several GB
	$(BIN)/python tests/adapters/extras.py

clean:
	rm -rf docs/_build build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
