.PHONY: venv run test docs detection zoo lint clean
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

# The pages that are made: the law book from its docstrings, the zoo from the records of a run.
docs: venv
	$(BIN)/python docs/laws.py > docs/laws.md

# What the laws catch, and after how many examples: controls.md, detection.md and its figure.
detection: venv
	OMP_NUM_THREADS=1 $(BIN)/python docs/detection.py

zoo: venv
	$(BIN)/mbcbench run --suite laws
	$(BIN)/python docs/zoo.py latest > docs/zoo.md

lint: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info
