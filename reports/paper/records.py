"""Records that claims are judged by: of each model, in each setting, and other records in place of the usual ones."""

from collections.abc import Iterator

import pandas as pd

from mbcbench.paper import Filter, case_on

from ..selection import additional_data, is_standard, select

MIN_STEPS = 400  # of training: a model with fewer steps says nothing about its encoder
# Columns that verdicts read, besides those of the settings and values of contrasts.
COLUMNS = (
    *("suite", "case", "model", "seed", "status", "message", "value", "params.data", "params.arm", "params.train_size"),
    *("detail.counterexample", "detail.examples", "detail.data", "detail.parameters", "detail.train_size"),
    *("detail.steps", "detail.train_loss", "detail.train_baseline", "detail.plateau"),
)


class Records:
    """Labelled records (see `label_models`), each selection of which is made once: claims share most settings."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self._by_model = {str(model): part for model, part in rows.groupby("model")}
        self._selected: dict[frozenset[tuple[str, object]], pd.DataFrame] = {}
        self._others: dict[frozenset[str], list[tuple[str, Records]]] = {}

    def of_model(self, model: str) -> pd.DataFrame:
        """Return the records of a model."""
        return self._by_model.get(model, self.rows.iloc[:0])

    def select(self, where: Filter) -> pd.DataFrame:
        """Return the measured rows of a setting of one model (see `selection.select`)."""
        setting = frozenset(where.items())
        if setting not in self._selected:
            self._selected[setting] = select(self.of_model(where["model"]), where)
        return self._selected[setting]

    def others(self, cases: frozenset[str]) -> list[tuple[str, "Records"]]:
        """Return the names and records of shorter trainings, and of other data in place of the usual ones."""
        if cases not in self._others:
            found = [*_shorter_trainings(self.rows, cases), *_on_other_data(self.rows, cases)]
            self._others[cases] = [(name, Records(rows)) for name, rows in found]
        return self._others[cases]


def _on_other_data(rows: pd.DataFrame, cases: frozenset[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    present = set(rows["params.data"].dropna())
    for name in filter(present.__contains__, additional_data()):
        on_data = rows[rows["params.data"].eq(name)]
        usual = {case_on(name, case): case for case in cases}
        renamed = on_data[on_data["case"].isin([*usual])].copy()
        if len(renamed):
            renamed["case"], renamed["params.data"] = renamed["case"].map(usual), "usual"
            yield name, renamed


def _shorter_trainings(rows: pd.DataFrame, cases: frozenset[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the records of each number of steps that is large enough for a verdict, without the usual trainings.

    Those are the longest of their task and number of elements: large sets are trained for fewer steps.
    """
    of_cases = rows[rows["case"].isin(cases)]
    of_cases = of_cases[~is_standard(of_cases)]
    steps = pd.to_numeric(of_cases["detail.steps"])
    usual = steps.groupby([of_cases[name] for name in ("case", "params.train_size")], dropna=False).transform("max")
    for number in sorted(steps[steps < usual].unique()):
        if number >= MIN_STEPS:
            yield f"{int(number):,} steps", of_cases[steps.eq(number) & (steps < usual)]
