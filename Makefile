# Every target that needs the environment makes it first; `make help` lists them.

PYTHON ?= python3
RESULTS ?= results
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest lint docs tables plots report reference bench lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

setup: $(INSTALLED) ## Make the environment in .venv; a second call does nothing

demo: $(INSTALLED) ## Compare six methods on the embedded backbone and data sets
	$(BIN)/fplbench demo --out $(RESULTS)/demo

# Two processes; each has a half of the tests and takes of the other's when it is done.
WORKERS ?= 2
test: $(INSTALLED) ## Run the tests, without the slow ones and those for a GPU
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal

# torchvision, which open_clip asks for, would choose a newer torch: its floor is said by itself.
# Left out are four small cells whose last numbers are the lock's: torch.multinomial, by which FedMGP
# draws, drew otherwise in torch 2.6, and FedSEPT's router has biases that are rounding alone.
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/installed ## Run the same tests on the oldest versions that pyproject.toml promises
	$(LOWEST)/bin/pytest -q -n $(WORKERS) --dist worksteal \
		-k "not (ends_where_this_version_says and (fedmgp or fedsept))"

lint: $(INSTALLED) ## Check style, types, and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

docs: $(INSTALLED) ## Build the docs site into site/, strictly and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo site/index.html

tables: $(INSTALLED) ## Write tables and the page of all records in RESULTS (default: results)
	$(BIN)/fplbench tables $(RESULTS)
	$(BIN)/fplbench report $(RESULTS)

plots: $(INSTALLED) ## Draw plots of all records in RESULTS (default: results)
	$(BIN)/fplbench plots $(RESULTS)

report: $(INSTALLED) ## Write one HTML page of all records in RESULTS (default: results)
	$(BIN)/fplbench report $(RESULTS)

# The demo's cells with moved starts, the same methods in other scenarios, and the other methods.
DIGITS = --methods zeroshot,coop,promptfl,fedotp,pfedprompt,fedpgp --datasets digits \
	--seeds 0,1,2,3,4,5,6,7 --rounds 15 --set evaluations=3 --set fedotp.evaluations=1 --jobs 2 \
	--out $(RESULTS)/reference-runs
SCENARIOS = --methods zeroshot,coop,promptfl,fedotp,pfedprompt,fedpgp \
	--seeds 0,1,2,3,4,5,6,7 --rounds 15 --set evaluations=1 --jobs 2 --out $(RESULTS)/reference-runs
OTHERS = --methods cliplora,cocoop,dpfpl,fedapt,fedclip,feddda,fedmgp,fedmvp,fedpha,fedpha_he,fedsept,focoop,fedtpg,ivlp,kgcoop,maple,pfedmma,pfedmoap,plot,plotpp,proda,prograd,promptfolio,promptsrc,tipadapter,vpt \
	--seeds 0,1,2,3,4,5,6,7 --rounds 15 --set evaluations=1 --jobs 2 --out $(RESULTS)/reference-runs
reference: $(INSTALLED) ## Run all cells of the reference results; rewrites their file
	$(BIN)/fplbench run fplbench/cli/demo.yaml --jobs 2 --out $(RESULTS)/reference-runs
	$(BIN)/fplbench stability $(RESULTS)/reference-runs --starts 1 --jobs 2
	$(BIN)/fplbench run $(DIGITS)
	$(BIN)/fplbench run $(SCENARIOS) --datasets digits --scenario iid,pathological
	$(BIN)/fplbench run $(SCENARIOS) --datasets shapes --scenario personal,iid,pathological --shots 8
	$(BIN)/fplbench run $(SCENARIOS) --datasets shapes_domains --clients-per-domain 2 --hold-out each
	$(BIN)/fplbench run $(OTHERS) --datasets shapes,shapes_domains --clients-per-domain 2
	$(BIN)/fplbench pack $(RESULTS)/reference-runs results/reference/embedded.jsonl.gz

bench: $(INSTALLED) ## Time the engine beside published local training; rewrites docs/performance.md
	$(BIN)/pytest tests/bench -m "not gpu" --benchmark-disable --bench-out $(RESULTS)/bench \
		--bench-docs docs/performance.md

lock: $(BIN)/uv ## Choose newer versions for requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-header --no-annotate --upgrade --quiet --output-file requirements.lock > /dev/null

clean: ## Remove what tools leave behind; the environment and the results stay
	rm -rf build dist site *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache .grimp_cache \
		.import_linter_cache
	find fplbench methods datasets tests -name __pycache__ -prune -exec rm -rf {} +

# uv does not read pip's settings: where only pip is told which registry to use, pip installs.
$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock \
		|| $(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(LOWEST)/installed: pyproject.toml | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(LOWEST)/bin/python \
		--resolution lowest-direct --editable '.[dev,optuna,parquet,privacy,ray,slurm,tensorboard]' \
		torch==$$(sed -n 's/^    "torch>=\(.*\)",$$/\1/p' pyproject.toml)
	@touch $@

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v < (3, 11) and sys.exit("fplbench needs Python 3.11 or later, but $(PYTHON) is %d.%d: name a newer one with make PYTHON=/path/to/python3" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
