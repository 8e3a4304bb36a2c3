"""Measure what the laws catch, and after how many examples: writes docs/controls.md and docs/detection.md.

Every control (tests/controls) is tried by the law it breaks, built under several seeds, by the search of mbcbench and
by a plain Hypothesis loop, which tries one set per example and does not start with the smallest ones.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import hypothesis
import torch
from hypothesis import HealthCheck, Phase
from matplotlib import rc_context
from matplotlib.figure import Figure
from template import DOCS, markdown_table, write

from mbcbench.verify import strategies
from mbcbench.verify.checker import Checker
from mbcbench.verify.example import Example
from mbcbench.verify.law import Law, get_law
from mbcbench.verify.law_run import LawRun
from mbcbench.verify.search import SearchResult, search
from mbcbench.verify.subject import Subject

sys.path.insert(0, str(DOCS.parent))
from tests.controls import Control, controls

SEEDS = 20
LOOP_SEEDS = 3
EXAMPLES = 2000
LOOP_EXAMPLES = 500
BUDGETS = (20, 50, 100, 200, 320, 600, 1000, 2000)
SPEED_LAWS = ("mbc.partition", "mbc.merge", "symmetry.permutation", "mbc.gradient")
SEARCH_NAME = "mbcbench: smallest first, many sets per call"
LOOP_NAME = "plain Hypothesis loop"


class Engine(Protocol):
    """A way to search for a counterexample."""

    def __call__(self, law: Law, subjects: Sequence[Subject], *, seed: int, independent_sets: bool) -> SearchResult: ...


@dataclass(frozen=True)
class Detection:
    """The examples that a control took under each seed (infinite if it was not caught), and the last result."""

    control: Control
    examples: list[float]
    last: SearchResult


class _Falsified(Exception):  # noqa: N818 # ends a Hypothesis run
    pass


def run_search(law: Law, subjects: Sequence[Subject], *, seed: int, independent_sets: bool) -> SearchResult:
    """Search as mbcbench does."""
    return search(
        law, subjects, examples=EXAMPLES, seed=seed, independent_sets=independent_sets, shrink=False, seconds=math.inf
    )


def run_loop(law: Law, subjects: Sequence[Subject], *, seed: int, independent_sets: bool) -> SearchResult:
    """Run a plain Hypothesis loop over the same strategy: one set per example, or a batch if the law needs one."""
    run = LawRun(law, subjects)
    strategy = strategies.examples(
        kinds=law.kinds,
        variants=len(subjects),
        all_kinds=not law.batched,
        min_size=law.min_size,
        max_size=law.max_size,
    )

    @hypothesis.settings(
        max_examples=LOOP_EXAMPLES,
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def try_drawn(example: Example) -> None:
        if run.try_example(example).is_counterexample:
            raise _Falsified

    with torch.no_grad():
        try:
            try_drawn()
        except (_Falsified, hypothesis.errors.Flaky):  # a control may remember earlier sets
            return SearchResult(run.examples, run.worst, run.worst)
    return SearchResult(run.examples, run.worst)


def detect(control: Control, engine: Engine, seeds: int) -> Detection:
    """Search for a counterexample of a control under each seed."""
    law = get_law(control.breaks)
    examples = []
    for seed in range(seeds):
        checker = Checker(control.spec, dim_in=3, seed=seed)
        result = engine(law, checker.subjects(), seed=seed, independent_sets=checker.independent_sets)
        examples.append(math.inf if result.holds else float(result.examples))
    return Detection(control, examples, result)


def measure_speed(engine: Engine, encoder: str, law_id: str) -> float:
    """Return the examples per second for an encoder that keeps the law."""
    law, checker = get_law(law_id), Checker(encoder, dim_in=3, seed=0)
    subjects, independent_sets = checker.subjects(), checker.independent_sets
    engine(law, subjects, seed=1, independent_sets=independent_sets)
    began = time.perf_counter()
    result = engine(law, subjects, seed=0, independent_sets=independent_sets)
    return result.examples / (time.perf_counter() - began)


def control_table(detections: Mapping[str, Detection]) -> str:
    """Return the table of controls in Markdown."""
    rows = []
    for name, detection in detections.items():
        control, examples = detection.control, detection.examples
        caught = [count for count in examples if math.isfinite(count)]
        middle = f"{median(caught):.0f}" if caught else "–"
        where = describe_sizes(detection.last.counterexample.example) if detection.last.counterexample else ""
        count = f"{len(caught)}/{len(examples)}"
        rows.append([name, control.summary, control.breaks, ", ".join(control.also), count, middle, where])
    headings = ["control", "defect", "law", "also breaks", "caught", "examples", "found on"]
    return markdown_table(headings, rows, "llllrrl").rstrip()


def describe_sizes(example: Example) -> str:
    """Return set size and the first chunk sizes."""
    chunks = " + ".join(map(str, example.sizes[:6]))
    return f"n = {example.n}, {chunks}{' ...' if len(example.sizes) > 6 else ''}"


def share_within(examples: Sequence[float], budget: float) -> float:
    """Return the share of searches that took at most `budget` examples."""
    return sum(count <= budget for count in examples) / len(examples)


def draw_figure(curves: Mapping[str, list[float]]) -> None:
    """Draw the share of (control, seed) pairs caught against the number of examples."""
    with rc_context({"svg.hashsalt": "detection", "svg.fonttype": "none"}):
        canvas = Figure(figsize=(6, 3.4), layout="constrained")
        axes = canvas.subplots()
        budgets = [float(budget) for budget in range(1, EXAMPLES + 1)]
        for (name, examples), colour in zip(curves.items(), ("#0072B2", "#D55E00"), strict=True):
            shares = [share_within(examples, budget) for budget in budgets]
            axes.step(budgets, shares, where="post", label=name, color=colour)
        axes.set(
            xscale="log", xlabel="examples (sets tried)", ylabel="share of controls caught (higher is better)",
            ylim=(0, 1.02),
        )  # fmt: skip
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
        canvas.savefig(DOCS / "detection.svg", metadata={"Date": None})


def curve_table(curves: Mapping[str, list[float]]) -> str:
    """Return the table of shares in Markdown."""
    rows = []
    for name, examples in curves.items():
        limit = EXAMPLES if name == SEARCH_NAME else LOOP_EXAMPLES
        cells = [f"{share_within(examples, budget):.3f}" if budget <= limit else "–" for budget in BUDGETS]
        rows.append([name, *cells])
    return markdown_table(["examples", *map(str, BUDGETS)], rows, "l" + "r" * len(BUDGETS)).rstrip()


def speed_table() -> str:
    """Return the table of speeds in Markdown."""
    rows = []
    for law_id in SPEED_LAWS:
        loop, mbcbench = (measure_speed(engine, "sse-random", law_id) for engine in (run_loop, run_search))
        rows.append([law_id, f"{loop:.0f}", f"{mbcbench:.0f}"])
    return markdown_table(["law", "plain loop", "mbcbench"], rows, "lrr").rstrip()


def draws_examples(law: Law) -> bool:
    """Return True if the law is tried on drawn examples, which the plain loop can draw too."""
    return not law.fixed and law.explore is None


def main() -> None:
    """Measure, and write the figure and both pages."""
    torch.set_num_threads(1)
    detections = {control.name: detect(control, run_search, SEEDS) for control in controls()}
    tried_by_loop = [control for control in controls() if draws_examples(get_law(control.breaks))]
    loop_examples = [count for control in tried_by_loop for count in detect(control, run_loop, LOOP_SEEDS).examples]
    search_examples = [count for control in tried_by_loop for count in detections[control.name].examples]
    curves = {SEARCH_NAME: search_examples, LOOP_NAME: loop_examples}
    draw_figure(curves)
    always_caught = sum(all(map(math.isfinite, detection.examples)) for detection in detections.values())
    words = {
        "CONTROLS": control_table(detections),
        "COUNT": str(len(detections)),
        "SEEDS": str(SEEDS),
        "ALWAYS": str(always_caught),
        "EXAMPLES": str(EXAMPLES),
        "CURVES": curve_table(curves),
        "SPEEDS": speed_table(),
        "LOOP_SEEDS": str(LOOP_SEEDS),
        "LOOP_EXAMPLES": str(LOOP_EXAMPLES),
        "DRAWN": str(len(tried_by_loop)),
    }
    for name in ("controls", "detection"):
        write(name, words)


if __name__ == "__main__":
    main()
