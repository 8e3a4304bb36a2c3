"""Observe what laws say about examples (observations.jsonl) and which counterexamples they find (searches.jsonl).

A counterexample is replayed from its numbers and its seed. So a law has to make the same choices for them in each
version, and to see the same gap. What depends on the rounding of a machine is left out: bounds, and gaps below them.
Searches are so short that they end before examples are drawn, which depends on the version of Hypothesis.
`python -m tests.verify.observations` writes both files.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.suites.laws.program import program_example
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.culprit import find_culprit
from mbcbench.verify.example import ALL_KINDS, TIE_FREE_KINDS, Example
from mbcbench.verify.isolation import isolated
from mbcbench.verify.law import Law, get_law
from mbcbench.verify.law_run import LawRun, Observation
from tests.controls import Control, controls
from tests.controls.base import Mean, Slots, Softmax

OBSERVATIONS, SEARCHES = (Path(__file__).with_name(f"{name}.jsonl") for name in ("observations", "searches"))
WIDTH, MAX_SIZE, DIGITS = 3, 300, 6
CLEAR = 1e6  # a gap that exceeds its bound by more is the same to four digits on each machine
SOUND = (Mean, Softmax, Slots)
SHORT, MAX_TRIED = Budget(examples=64, min_examples=1), 48  # sets
UNREPEATABLE = {
    *("KeyIntoTable", "SlotsOfProcess"),  # their keys and slots depend on the process and what ran in it
    # Of one seed, dropout and torch.randint draw other numbers in each version of torch.
    *("CentredByRunningMean", "CouplesSetsInTraining", "DropoutInTraining", "SeedDrawnWhenBuilt"),
}
MESSAGE = re.compile(r"(\w+Error): .*", re.DOTALL)  # depends on the version of torch, and names lines of the source
EXAMPLES = (
    Example(sizes=(2, 1), kinds=(0, 9), seed=1),
    Example(sizes=(3, 1, 4), kinds=ALL_KINDS, arrangement="shuffled", seed=2, variant=1),
    Example(sizes=(1, 5, 2, 1), kinds=TIE_FREE_KINDS, arrangement="interleaved", seed=4, variant=2),
    *(Example(sizes=(1, 2), kinds=(0,), seed=seed) for seed in (3, 6, 7)),
)
PROGRAMS = (
    (("feed", 0, 1), ("feed", 1, 2), ("merge", 1, 0), ("read", 0)),
    (("feed", 0, 2), ("reload", 0), ("feed", 0, 1), ("merge", 0, 0)),
)


def examples_of(law: Law) -> list[Example]:
    """Return the examples on which a law is observed."""
    if law.explore:
        return [program_example(steps, variant) for variant, steps in enumerate(PROGRAMS)]
    given = [example for example in (*law.fixed, *law.first) if example.n <= MAX_SIZE]
    return given[:3] if law.fixed else [*EXAMPLES, *given]


def controls_of(law_id: str) -> list[Control]:
    """Return the controls of a law that are the same in each process."""
    return [control for control in controls() if control.breaks == law_id and control.name not in UNREPEATABLE]


def observe(law_id: str) -> Iterator[dict[str, Any]]:
    """Yield what a law says about its controls, and about sound encoders."""
    law = get_law(law_id)
    sound = [EncoderSpec(name=encoder.__name__, factory=encoder) for encoder in SOUND]
    for spec in [*(control.spec for control in controls_of(law_id)), *sound]:
        checker = Checker(spec, dim_in=WIDTH, seed=0)
        subjects = checker.subjects()
        if (checker.is_plain and law.needs_streaming) or any(requirement(subjects[0]) for requirement in law.requires):
            continue
        run = LawRun(law, subjects)
        for example in map(checker.domain.fit, examples_of(law)):
            with isolated(0), torch.no_grad():
                observation = run.try_example(example)
                is_located = observation.is_counterexample and not observation.error
                culprit = find_culprit(law, subjects, example) if is_located else ""
            yield {"law": law_id, "encoder": spec.name, **summary(observation), "culprit": culprit}


def summary(observation: Observation) -> dict[str, Any]:
    """Return what of an observation does not depend on rounding."""
    is_broken = observation.is_counterexample
    return {
        "sizes": list(observation.example.sizes),
        "outcome": ("broken" if is_broken else "kept") if observation.is_applicable else "does not apply",
        "gap": rounded(observation.gap) if observation.ratio > CLEAR and not observation.error else None,
        "note": MESSAGE.sub(r"\1", observation.note) if is_broken or not observation.is_applicable else "",
        "error": MESSAGE.sub(r"\1", observation.error),
        "choices": rounded(observation.choices),
    }


def rounded(value: Any) -> Any:
    """Return a JSON value with numbers of a few digits."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def search(law_id: str) -> Iterator[dict[str, Any]]:
    """Yield the counterexamples that a law finds on its controls without drawing examples."""
    law = get_law(law_id)
    for control in controls_of(law_id):
        found = Checker(control.spec, dim_in=WIDTH, seed=0).try_law(law, SHORT).search
        if found is None or found.counterexample is None or found.examples > MAX_TRIED:
            continue
        example, error = found.counterexample.example, MESSAGE.sub(r"\1", found.counterexample.error)
        yield {
            "law": law_id, "encoder": control.name, "tried": found.examples, "sizes": list(example.sizes),
            "kinds": list(example.kinds), "arrangement": example.arrangement, "seed": example.seed,
            "variant": example.variant, "program": rounded(example.program), "error": error, "culprit": found.culprit,
        }  # fmt: skip


def main() -> None:
    """Write the observations and searches of all laws."""
    for path, rows_of in ((OBSERVATIONS, observe), (SEARCHES, search)):
        rows = (row for law in registry.plugins(registry.LAWS) for row in rows_of(law))
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


if __name__ == "__main__":
    main()
