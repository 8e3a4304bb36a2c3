.PHONY: venv run test test-all static lint docs reference leaderboard readme tour detection seeds results-by-encoder field bench costs results gallery performance gpu fuzz faults coverage mutants site thorough dist try-wheel release clean
PYTHON ?= python3
BIN := .venv/bin
# Hundreds of processes import torch and the package: without bytecode, each of them would compile them.
export PYTHONDONTWRITEBYTECODE =

# $(call install,ARGUMENTS): install packages at the versions and from the files that constraints.txt pins. Python compiles
# what is imported, a quarter of the files; pip would compile all of them, which takes half a minute.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
install = $(PIP) --report .venv/report.json -c constraints.txt $(1) && $(BIN)/python tools/pins.py .venv/report.json
EXTRA := --no-build-isolation -e

# The stamp is remade when the pins or the metadata of the package change. setuptools and wheel build the others.
.venv/stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install,setuptools wheel)
	$(call install,$(EXTRA) '.[dev]')
	touch $@

venv: .venv/stamp

# The leaderboard: laws and costs of this machine, the reference scores, six of which are trained again. Five minutes on
# two cores.
run: venv
	$(BIN)/mbcbench run

# The tests but for those marked as slow. One process more than there are cores: many tests wait for others of their own.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
TESTS = -m pytest -n $(PROCESSES) --dist worksteal
test: static
	$(BIN)/python $(TESTS) -m "not slow"

# All tests, as `pytest` runs them: every encoder and control under every law too, and what starts many processes.
test-all: static
	$(BIN)/python $(TESTS)

static: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -n auto

lint: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# The reference scores that ship with mbcbench (docs/standard.md): about ten core-hours. Finished cells are not run again.
REFERENCE := .reference
TASKS := --suite point-clouds --suite image-completion --suite centroids
reference: venv
	test -d $(REFERENCE) || $(BIN)/python tools/reference.py $(REFERENCE) --unpack
	-$(BIN)/mbcbench run --profile standard --no-reference $(TASKS) --root $(REFERENCE)
	$(BIN)/python tools/reference.py $(REFERENCE)

# docs/leaderboard.md, its figure and table, and the README's picture: five minutes.
leaderboard: venv
	$(BIN)/mbcbench run
	$(BIN)/python tools/leaderboard.py latest

# What is derived from docstrings: the page on the laws, and the summaries in the indexes of plug-ins.
docs: venv
	$(BIN)/python tools/update_indexes.py
	$(BIN)/ruff format --quiet encoders/index.py suites/index.py reports/index.py
	$(BIN)/python tools/laws.py > docs/laws.md

# README.md: its numbers, and what its first command prints.
readme: venv
	$(BIN)/python tools/readme.py

# docs/tour.ipynb with the outputs of this machine: half a minute.
tour: venv
	$(call install,$(EXTRA) '.[notebook]')
	OMP_NUM_THREADS=1 $(BIN)/python -m nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False docs/tour.ipynb

# Which defects the laws catch, and after how many examples: controls.md, detection.md and its figure.
detection: venv
	OMP_NUM_THREADS=1 $(BIN)/python tools/detection.py

# Whether verdicts on sound encoders depend on the seed (docs/seeds.md): three hours on one core, resumable.
seeds: venv
	OMP_NUM_THREADS=1 $(BIN)/python tools/seeds.py

results-by-encoder: venv
	$(BIN)/mbcbench run --suite laws
	$(BIN)/python tools/results_by_encoder.py latest > docs/results-by-encoder.md

# The set poolings of other packages under the laws (docs/field.md): an hour on one core, of which finished modules are
# not checked again. The packages are installed in .field, without their dependencies; they are some 700 MB.
field: venv
	$(BIN)/python tools/field/run.py
	$(BIN)/python tools/field/reproduce.py
	$(BIN)/python tools/field/page.py

# ASV measures what is installed here; `asv compare` and `asv continuous` read the results in .asv/results.
bench: venv
	$(call install,$(EXTRA) '.[bench]')
	$(BIN)/asv machine --yes
	OMP_NUM_THREADS=1 $(BIN)/asv run --python=same --set-commit-hash=$$(git rev-parse HEAD) $(ASV)
	$(BIN)/mbcbench import-asv .asv/results # with --run latest, the records join those of that run

# Time, memory and FLOPs of every encoder by the size of the set. `run` exits with 2 if a cell timed out.
costs: venv
	-$(BIN)/mbcbench run --suite resources --profile thorough
	$(BIN)/python tools/costs.py latest > docs/costs.md

# The runs behind docs/results, and the report: about 21 core-hours. Finished cells are not run again. Additional data
# (docs/data.md) are fetched first; without them, their trainings are left out.
RESULTS := docs/results
PAPER := $(BIN)/mbcbench run --suite paper --profile thorough --root $(RESULTS)
OTHER := table1,fig2,fig3a,fig4a,fig4b,fig4c,fig4d,fig5,fig6,fig7-slots,fig7-dim,fig7-deterministic,fig8
results: venv
	$(call install,$(EXTRA) '.[emoji]')
	-$(BIN)/mbcbench data fetch fashion-mnist fashion-images emoji emoji-images furniture
	-$(PAPER)
	-$(PAPER) --data fashion-images,fashion-mnist,emoji,furniture --only $(OTHER)
	-$(PAPER) --data emoji-images --only fig3d,fig7-deterministic
	-$(BIN)/mbcbench run --root $(RESULTS)
	-$(BIN)/mbcbench run --suite consistency --suite architectures --root $(RESULTS)
	-$(BIN)/mbcbench run --suite resources --profile thorough --root $(RESULTS)
	$(BIN)/python tools/costs.py $$(ls -d $(RESULTS)/runs/* | tail -1) > docs/costs.md
	$(BIN)/python tools/pack.py $(RESULTS)/runs/*
	$(MAKE) gallery

gallery: venv
	$(BIN)/mbcbench report $(RESULTS)/runs/* --format html,md,csv,png --out $(RESULTS)
	$(BIN)/python tools/reproduction.py $(RESULTS)/runs/*

# The measurements behind docs/speed.md, docs/encode.md and docs/costs.md: the formula, files larger than memory (7 GB of disk), encoders.
performance: venv
	$(BIN)/python tools/speed.py
	$(BIN)/python tools/encode.py
	$(MAKE) costs

# Everything about GPUs, if this machine has one: eight minutes. docs/gpu.md says how to run it on another machine.
gpu: venv
	tools/gpu/prepare.sh --local
	-PYTHON=$(CURDIR)/$(BIN)/python tools/gpu/run.sh --out .gpu/out
	$(BIN)/python tools/gpu/collect.py .gpu/out

# Files and commands that are changed at random: each has to end in success or in one line (docs/fuzz.md). Half an hour
# on one core. Atheris has wheels for Linux on x86-64 only; without it, no inputs are guided by the branches they reach.
fuzz: venv
	-$(call install,--only-binary atheris atheris)
	OMP_NUM_THREADS=1 $(BIN)/python tools/fuzz/fuzz.py --page

# What is lost when runs are killed, disks are full and encoders do harm (docs/reliability.md): half an hour.
faults: venv
	OMP_NUM_THREADS=1 $(BIN)/python tools/faults/faults.py --tries 20 --page docs/reliability.md

# Branch coverage of the packages, also of what runs in processes of cells and commands; it fails below 95 %.
COVERAGE := COVERAGE_ROOT=$(CURDIR) COVERAGE_FILE=$(CURDIR)/.coverage $(BIN)/python -m coverage
coverage: venv
	$(COVERAGE) erase
	-$(COVERAGE) run $(TESTS)
	-$(COVERAGE) combine --quiet
	$(COVERAGE) report --skip-covered

# Whether the tests notice small changes of the laws, the tolerance and the search (docs/mutants.md): an hour on one core.
mutants: venv
	OMP_NUM_THREADS=1 $(BIN)/python tools/mutants/mutants.py

# Every law on every encoder with up to 20,000 examples: hours.
thorough: venv
	$(BIN)/mbcbench run --suite laws --profile thorough

# The sdist and the wheel, checked. `build` installs setuptools in an environment of its own.
dist: venv
	$(call install,$(EXTRA) '.[release]')
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*

# Install the wheel of dist in a new environment, and use it in an empty folder. TRY=--help lists the options.
try-wheel:
	$(PYTHON) tools/release.py try $(TRY)

# Build, check and try the version of mbcbench/__init__.py, and tag it. Nothing is uploaded.
release:
	@$(PYTHON) tools/release.py ready
	$(MAKE) dist
	$(MAKE) try-wheel
	@$(PYTHON) tools/release.py tag

# The documentation site in build/site. A warning is an error: a dead link, an anchor that is not there, a page that the
# navigation of mkdocs.yml does not list, a docstring that cannot be read.
site: venv
	$(call install,$(EXTRA) '.[docs]')
	$(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf .venv build dist *.egg-info
