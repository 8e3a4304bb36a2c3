.PHONY: venv run test bench costs performance results gallery docs detection results-by-encoder lint clean
PYTHON ?= python3
BIN := .venv/bin

# Everything is pinned by constraints.txt; the stamp is remade when the pins or the package's metadata change.
.venv/stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

venv: .venv/stamp

# The leaderboard with the first of the three tasks: five minutes on two cores. `mbcbench run` has all three.
run: venv
	$(BIN)/mbcbench run --suite laws --suite point-clouds --suite resources

test: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist worksteal

# The page of laws, from their docstrings.
docs: venv
	$(BIN)/python tools/laws.py > docs/laws.md

# What the laws catch, and after how many examples: controls.md, detection.md and its figure.
detection: venv
	OMP_NUM_THREADS=1 $(BIN)/python tools/detection.py

# The results of every encoder under every law: results-by-encoder.md.
results-by-encoder: venv
	$(BIN)/mbcbench run --suite laws
	$(BIN)/python tools/results_by_encoder.py latest > docs/results-by-encoder.md

# ASV on what is installed here; `asv compare` and `asv continuous` read what it leaves in .asv/results.
bench: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/asv machine --yes
	OMP_NUM_THREADS=1 $(BIN)/asv run --python=same --set-commit-hash=$$(git rev-parse HEAD) $(ASV)
	$(BIN)/mbcbench import-asv .asv/results # with --run latest, beside the records of that run

# Time, memory and FLOPs of every encoder over the size of the set. It leaves with 2 where a cell ran out of time.
costs: venv
	-$(BIN)/mbcbench run --suite resources --profile thorough
	$(BIN)/python tools/costs.py latest > docs/costs.md

# The runs that docs/results is drawn from, and the report: an hour and a half on two cores. What is there is not run again.
RESULTS := docs/results
results: venv
	-$(BIN)/mbcbench run --suite paper --profile thorough --out $(RESULTS)
	-$(BIN)/mbcbench run --out $(RESULTS)
	-$(BIN)/mbcbench run --suite consistency --suite architectures --out $(RESULTS)
	-$(BIN)/mbcbench run --suite resources --profile thorough --out $(RESULTS)
	$(MAKE) gallery

gallery: venv
	$(BIN)/mbcbench report $(RESULTS)/runs/* --format html,md,csv,png --out $(RESULTS)

# Every number of the README's section on speed: the formula, files larger than memory (7 GB of disk), all encoders.
performance: venv
	$(BIN)/python tools/speed.py
	$(BIN)/python tools/encode.py
	$(MAKE) costs

lint: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info
