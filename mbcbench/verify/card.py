"""What a failure shows: the card of a counterexample, and a snippet that makes it fail again."""

import json
from typing import Any

import numpy as np
from torch import Tensor

from mbcbench.verify.example import KINDS
from mbcbench.verify.law import Law
from mbcbench.verify.search import Finding, Outcome


def counterexample(finding: Finding, worst: Finding, *, dim_in: int, dtype: str) -> dict[str, Any]:
    """A counterexample as plain data."""
    return {
        "n": finding.case.n,
        **finding.case.to_json(),
        **{name: _plain(value) for name, value in finding.told.items()},
        "dim_in": dim_in,
        "dtype": dtype,
        "gap": finding.gap,
        "bound": finding.bound,
        "worst_gap": max(worst.gap, finding.gap),
        "note": finding.note,
        "error": finding.error,
    }


def card(target: str, law: Law, outcome: Outcome) -> str:
    """A counterexample for a reader, a fact a line."""
    finding = outcome.counterexample
    assert finding is not None
    case = finding.case
    lines = [f"{law.id} is broken by {target}", f"  law       {law.statement}"]
    chunks = " + ".join(map(str, case.sizes))
    lines.append(f"  smallest  n={case.n}, chunks {chunks}, {_data(finding)}")
    lines += [f"  {name}: {_short(value)}" for name, value in finding.told.items()]
    lines.append(
        f"  weights   {'as built' if case.variant == 0 else f'moved (variant {case.variant})'}; seed {case.seed}"
    )
    if finding.error:
        lines.append(f"  raised    {finding.error}")
    else:
        lines.append(
            f"  gap       {finding.gap:.3g}, bound {finding.bound:.3g}" + f"; {finding.note}" * bool(finding.note)
        )
        lines.append(f"  worst     gap {max(outcome.worst.gap, finding.gap):.3g} in {outcome.examples} examples")
    return "\n".join(lines)


def snippet(target: str, law: Law, finding: Finding, *, dim_in: int, build_seed: int, live: bool = False) -> str:
    """Python that fails with the same counterexample when it is pasted into a file and run.

    live: whether the encoder is an object that no target leads to, so that the reader has to supply it.
    """
    case = json.dumps(finding.case.to_json())
    given = f"encoder = ...  # the {target} that was checked\n" if live else ""
    arguments = f"{'encoder' if live else repr(target)}, {law.id!r}, {case}, dim_in={dim_in}, seed={build_seed}"
    return f"import mbcbench\n\n{given}mbcbench.replay({arguments})\n"


def _data(finding: Finding) -> str:
    case = finding.case
    if case.values is not None:
        order = "" if case.index in (None, tuple(range(case.n))) else f", arriving in the order {_short(case.index)}"
        return f"x = {_short([list(element) for element in case.values])}{order}"
    kinds = ", ".join(KINDS[lane % len(KINDS)][0] for lane in case.lanes)
    return f"{case.arrangement}, sets: {kinds}"


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    return value


def _short(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, list) and len(plain) == 1 and isinstance(plain[0], list) and not isinstance(value, list):
        plain = plain[0]  # one set: its own order
    text = json.dumps(_rounded(plain))
    return text if len(text) <= 120 else text[:117] + "..."


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
