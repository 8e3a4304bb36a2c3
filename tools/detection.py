"""What the laws catch, and after how many examples: `python tools/detection.py` writes controls.md and detection.md.

Every control (tests/controls) is tried by the law it breaks, built under several seeds, by the engine as it is and by
a plain Hypothesis loop: one set an example, no smallest cases first.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import hypothesis
import torch
from hypothesis import HealthCheck, Phase
from matplotlib import rc_context
from matplotlib.figure import Figure
from template import DOCS, write

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
PLAIN_SEEDS = 3
EXAMPLES = 2000
PLAIN_EXAMPLES = 500
BUDGETS = (20, 50, 100, 200, 320, 600, 1000, 2000)

Search = Callable[[Law, Sequence[Subject], int, bool], SearchResult]


class _Caught(Exception):  # noqa: N818 # ends a Hypothesis run
    pass


def engine(law: Law, subjects: Sequence[Subject], seed: int, many: bool) -> SearchResult:
    """The search as it is."""
    return search(law, subjects, examples=EXAMPLES, seed=seed, independent_sets=many, shrink=False, seconds=10.0)


def plain(law: Law, subjects: Sequence[Subject], seed: int, many: bool) -> SearchResult:
    """A plain Hypothesis loop over the same strategy: one set at a time (a batch where the law needs one)."""
    run = LawRun(law, subjects)
    drawn = strategies.examples(
        kinds=law.kinds, variants=len(subjects), all_kinds=not law.batched,
        min_size=law.min_size, max_size=law.max_size,
    )  # fmt: skip

    def look(example: Example) -> None:
        if run.try_example(example).is_counterexample:
            raise _Caught

    test = hypothesis.settings(
        max_examples=PLAIN_EXAMPLES, phases=(Phase.generate,), database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )(hypothesis.seed(seed)(hypothesis.given(drawn)(look)))  # fmt: skip
    with torch.no_grad():
        try:
            test()
        except (_Caught, hypothesis.errors.Flaky):  # a control whose vice is to remember
            return SearchResult(run.examples, run.worst, run.worst)
    return SearchResult(run.examples, run.worst)


def needed(wrong: Control, how: Search, seeds: int) -> tuple[list[float], SearchResult]:
    """The examples it took under each seed (infinite where it was not caught), and the last outcome."""
    took = []
    for seed in range(seeds):
        checker = Checker(wrong.spec, dim_in=3, seed=seed)
        outcome = how(get_law(wrong.breaks), checker.subjects(), seed, checker.independent_sets)
        took.append(math.inf if outcome.holds else float(outcome.examples))
    return took, outcome


def speed(how: Search, name: str, law: str) -> float:
    """Examples a second on an encoder that keeps the law."""
    checker = Checker(name, dim_in=3, seed=0)
    subjects, many = checker.subjects(), checker.independent_sets
    how(get_law(law), subjects, 1, many)
    began = time.perf_counter()
    outcome = how(get_law(law), subjects, 0, many)
    return outcome.examples / (time.perf_counter() - began)


def rows(found: dict[str, tuple[Control, list[float], SearchResult]]) -> Iterator[str]:
    yield "| control | its vice | law | also falls | caught | examples | found on |\n|---|---|---|---|--:|--:|---|"
    for name, (wrong, took, outcome) in found.items():
        caught = [t for t in took if math.isfinite(t)]
        case = outcome.counterexample.example if outcome.counterexample else None
        where = f"n = {case.n}, {' + '.join(map(str, case.sizes[:6]))}{' ...' * (len(case.sizes) > 6)}" if case else ""
        also = ", ".join(wrong.also)
        middle = f"{median(caught):.0f}" if caught else "–"
        yield f"| {name} | {wrong.summary} | {wrong.breaks} | {also} | {len(caught)}/{len(took)} | {middle} | {where} |"


def share(took: Sequence[float], budget: float) -> float:
    return sum(t <= budget for t in took) / len(took)


def figure(curves: dict[str, list[float]]) -> None:
    """The share of (control, seed) pairs caught, against the examples looked at."""
    with rc_context({"svg.hashsalt": "detection", "svg.fonttype": "none"}):
        canvas = Figure(figsize=(6, 3.4), layout="constrained")
        axes = canvas.subplots()
        for (name, took), colour in zip(curves.items(), ("#0072B2", "#D55E00"), strict=True):
            at = [float(b) for b in range(1, 2001)]
            axes.step(at, [share(took, b) for b in at], where="post", label=name, color=colour)
        axes.set(xscale="log", xlabel="examples (sets looked at)", ylabel="share of controls caught", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower right")
        canvas.savefig(DOCS / "detection.svg", metadata={"Date": None})


def main() -> None:
    torch.set_num_threads(1)
    found = {w.name: (w, *needed(w, engine, SEEDS)) for w in controls()}
    by_plain = {w.name: needed(w, plain, PLAIN_SEEDS)[0] for w in controls() if not get_law(w.breaks).fixed
                and get_law(w.breaks).explore is None}  # fmt: skip
    drawn = {name: found[name][1] for name in by_plain}
    curves = {
        "engine: smallest cases first, sets side by side": [t for took in drawn.values() for t in took],
        "plain Hypothesis loop": [t for took in by_plain.values() for t in took],
    }
    figure(curves)
    head = "| examples | " + " | ".join(map(str, BUDGETS)) + " |\n|---|" + "--:|" * len(BUDGETS)
    lines = [
        f"| {name} | " + " | ".join(f"{share(took, b):.3f}" if name[0] == "e" or b <= PLAIN_EXAMPLES else "–"
                                     for b in BUDGETS) + " |"
        for name, took in curves.items()
    ]  # fmt: skip
    speeds = "\n".join(
        f"| {law} | {speed(plain, 'sse-random', law):.0f} | {speed(engine, 'sse-random', law):.0f} |"
        for law in ("mbc.partition", "mbc.merge", "symmetry.permutation", "mbc.gradient")
    )
    always = sum(all(map(math.isfinite, took)) for _, took, _ in found.values())
    words = {
        "CONTROLS": "\n".join(rows(found)), "COUNT": str(len(found)), "SEEDS": str(SEEDS), "ALWAYS": str(always),
        "EXAMPLES": str(EXAMPLES), "CURVES": "\n".join([head, *lines]), "SPEEDS": speeds,
        "PLAIN_SEEDS": str(PLAIN_SEEDS), "DRAWN": str(len(drawn)),
    }  # fmt: skip
    for name in ("controls", "detection"):
        write(name, words)


if __name__ == "__main__":
    main()
