# Every target first makes what it needs: Python packages in .venv, npm packages in extension/node_modules.
# Outside of this folder only `make test` and `make e2e` install something, where it is missing: Debian's chromium, and
# bindfs to mount a file system with.

PYTHON ?= python3
BIN    := .venv/bin
PY_ENV := .venv/.installed
JS_ENV := extension/node_modules/.installed
PYTEST := $(BIN)/python -m pytest
FAST   := not serial and not torture

# Notebooks call `szal` in a shell.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The tests start some hundred Pythons: none of them compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo lab test check e2e nbval bench bench-peers bench-ui pictures torture binder-check lint node-check bundle-check notebooks lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(PY_ENV) ## Run notebooks/quickstart.ipynb headless and say what it wrote
	@$(BIN)/python scripts/demo.py

lab: $(PY_ENV) ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=notebooks

test: lint node-check bundle-check e2e nbval ## Everything, from nothing; .ci/run calls it
	$(PYTEST) -n 2 --dist loadfile -m "$(FAST)"

check: lint node-check ## The fast part: linters, types, import rule, unit tests
	$(PYTEST) -q -m "$(FAST)" tests/model tests/analysis tests/engine tests/widget tests/test_house.py

e2e: $(PY_ENV) ## Tests that need the machine for themselves: kernels, real JupyterLab in real Chromium, timing
	scripts/apt-need 'command -v chromium' chromium
	-scripts/apt-need 'command -v bindfs || ! test -w /dev/fuse' bindfs
	$(PYTEST) -m "serial and not torture"

nbval: $(PY_ENV) ## The notebooks give the outputs that they were saved with
	$(PYTEST) --nbval notebooks

bench: $(PY_ENV) ## Figures of the engine, beside those of a bare asyncio loop
	for bench in $(notdir $(basename $(wildcard benchmarks/bench_*.py))); do $(BIN)/python -m benchmarks.$$bench || exit 1; done

bench-peers: $(PY_ENV) ## The same flows with Hamilton, pipefunc, LangGraph and DBOS, installed below build/peers
	$(BIN)/python -m benchmarks.peers.compare

bench-ui: $(PY_ENV) ## What the picture costs, in Chromium, at 50 to 5,000 steps; fails where a target is missed
	$(BIN)/python -m benchmarks.bench_ui --check

pictures: $(PY_ENV) ## Draw the reference pictures of tests/widget/references anew: look at each before it is committed
	SZAL_RENEW_PICTURES=1 $(PYTEST) tests/widget/test_references.py -k as_it_was

torture: $(PY_ENV) ## The long versions of the promises' tests; older versions of JupyterLab and ipykernel
	SZAL_DRAW_ANEW=1 $(PYTEST) -n 2 --dist loadfile -m "$(FAST)" --timeout 0
	SZAL_DRAW_ANEW=1 SZAL_TORTURE=20000 $(PYTEST) -m torture --timeout 0
	SZAL_TORTURE=200000 $(PYTEST) tests/engine/test_chaos.py --timeout 0
	SZAL_TORTURE=5000 $(PYTEST) tests/store/test_kill.py tests/store/test_power.py tests/store/test_failpoints.py --timeout 0
	SZAL_TORTURE=100 $(PYTEST) tests/promises/test_killed_kernels.py --timeout 0

binder-check: $(PY_ENV) ## What Binder would build from this folder, found out without docker
	$(BIN)/jupyter-repo2docker --no-build --debug .

lint: $(PY_ENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

node-check: $(JS_ENV)
	cd extension && npm run --silent check && npm test --silent

bundle-check: $(JS_ENV) # the committed bundle is what the sources give
	cd extension && npm run --silent build
	git diff --exit-code --stat -- szal_nb/widget/static szal_nb/labextension

notebooks: $(PY_ENV) ## Run the notebooks and save them with their outputs
	$(BIN)/python scripts/execute_notebooks.py notebooks/*.ipynb

lock: $(PY_ENV) ## Resolve pyproject.toml anew, for every Python that it allows
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade -o requirements/lock.txt

clean: ## Remove all that the other targets made
	rm -rf .venv build dist extension/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The extensions of JupyterLab and of its server are copied on installation, hence anew when their bundle changes.
$(PY_ENV): requirements/lock.txt pyproject.toml szal_nb/labextension/package.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@scripts/apt-need '$(PYTHON) -c "import ensurepip"' python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$$(grep '^uv==' requirements/lock.txt)"
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode -r requirements/lock.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

$(JS_ENV): extension/package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed: install Node 20 or newer." >&2; exit 1; }
	cd extension && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
