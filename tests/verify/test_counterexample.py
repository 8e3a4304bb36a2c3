"""Counterexamples are short, and those of earlier versions can still be read and replayed."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.errors import UsageError
from mbcbench.records.record import Record
from mbcbench.verify.counterexample import read_counterexamples, reproduction_snippet
from mbcbench.verify.example import Example
from mbcbench.verify.law import get_law
from tests.sound_encoders import Sum, TanhOfMean

OLD_COUNTEREXAMPLE = {
    "n": 2, "sizes": [1, 1], "lanes": [0, 3], "arrangement": "contiguous", "seed": 1, "variant": 0, "dim_in": 3,
    "dtype": "float64", "gap": 0.5, "bound": 1e-15, "worst_gap": 0.5, "note": "", "error": "",
}  # fmt: skip
OLD_RECORD = {
    "suite": "laws", "case": "mbc.partition", "encoder": "tests.sound_encoders:TanhOfMean", "status": "fail", "seed": 0,
    "detail": {"law": "mbc.partition", "card": "broken by all", "counterexample": OLD_COUNTEREXAMPLE},
}  # fmt: skip


class Wide(nn.Module):
    """A mean of chunks: not consistent."""

    def __init__(self, dim_in: int, width: int = 4) -> None:
        super().__init__()
        self.f = nn.Linear(dim_in, width)

    def init_state(self, batch_size: int) -> tuple[Tensor]:
        return (self.f.weight.new_zeros(batch_size, self.f.out_features),)

    def update(self, state: tuple[Tensor], x: Tensor) -> tuple[Tensor]:
        return (state[0] + self.f(x).mean(1),) if x.shape[1] else state

    def readout(self, state: tuple[Tensor]) -> Tensor:
        return state[0]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.f(x).mean(1)
        return out


def one_more(module: nn.Module, x: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    out: np.ndarray[Any, np.dtype[np.float64]] = module(torch.from_numpy(x)).detach().numpy() + 1
    return out


def test_the_text_of_an_old_record_has_its_new_name() -> None:
    assert Record.from_dict(OLD_RECORD).detail["text"] == "broken by all"


def test_an_old_counterexample_is_replayed(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(OLD_RECORD) + "\n")
    (recorded,) = read_counterexamples(f"{file}:1")
    with pytest.raises(AssertionError, match=r"mbc\.partition is broken by .*TanhOfMean"):
        mbcbench.replay_counterexample(
            TanhOfMean, recorded.law, recorded.example, dim_in=recorded.dim_in, seed=recorded.seed
        )


def test_a_counterexample_that_no_longer_breaks_the_law_replays_in_silence() -> None:
    mbcbench.replay_counterexample(Sum, "symmetry.permutation", OLD_COUNTEREXAMPLE, dim_in=3)


@pytest.mark.parametrize(
    ("element", "expression"),
    [
        ((0.0,) * 512, "[[0.0] * 512]"),
        ((1.0,) + (0.0,) * 511, "[[1.0] + [0.0] * 511]"),
        ((0.5, 2.0) + (0.0,) * 8 + (3.0,), "[[0.5, 2.0] + [0.0] * 8 + [3.0]]"),
        ((1.0, 1.0, 0.0), "[[1.0, 1.0, 0.0]]"),
        ((0.0,) * 8 + (-0.0,) * 8, "[[0.0] * 8 + [-0.0] * 8]"),
    ],
)
def test_equal_coordinates_of_a_wide_element_are_written_as_a_product(
    element: tuple[float, ...], expression: str
) -> None:
    example = Example(sizes=(1,), values=(element,))
    snippet = reproduction_snippet("sum", get_law("symmetry.permutation"), example, dim_in=len(element), build_seed=0)
    (_, _, case), _ = _arguments_of(snippet)
    assert f'"x": {expression}' in snippet
    assert repr(case) == repr(example.to_json())


def test_the_snippet_of_a_wide_counterexample_fails_again() -> None:
    example = Example(sizes=(1, 1), values=((1.0,) + (0.0,) * 511, (0.0,) * 512))
    snippet = reproduction_snippet(
        "tests.sound_encoders:TanhOfMean", get_law("mbc.partition"), example, dim_in=512, build_seed=0
    )
    with pytest.raises(AssertionError, match=r"x = \[\[1\.0\] \+ \[0\.0\] \* 511, \[0\.0\] \* 512\]"):
        exec(snippet)  # our own


def _arguments_of(snippet: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call in a snippet."""
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    call = snippet.removeprefix("import mbcbench\n\nmbcbench.replay_counterexample")
    exec(f"record{call}", {"record": lambda *args, **kwargs: arguments.append((args, kwargs))})
    return arguments[0]


def test_the_snippet_of_a_check_in_python_has_the_options_of_the_encoder() -> None:
    result = mbcbench.check(Wide, laws=["mbc.partition"], examples=50, dim_in=3, hyper={"width": 5})
    assert result["detail.reproduce"].iloc[0].rstrip().endswith("seed=0, hyper={'width': 5})")


def test_the_snippet_names_the_reference_or_leaves_it_to_the_reader() -> None:
    options: dict[str, Any] = {"laws": ["reference.equal"], "examples": 50, "dim_in": 3}
    text = mbcbench.check(Wide, reference=one_more, **options)["detail.reproduce"].iloc[0]
    assert text.rstrip().endswith(f"reference='{__name__}:one_more')")
    text = mbcbench.check(Wide, reference=partial(one_more), **options)["detail.reproduce"].iloc[0]
    assert "reference = ...  # the reference that was given" in text
    assert text.rstrip().endswith("reference=reference)")


def test_a_replay_without_the_reference_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match=r"reference\.equal compares .*Wide with a reference, which it lacks"):
        mbcbench.replay_counterexample(Wide, "reference.equal", {"sizes": [1], "kinds": [0]}, dim_in=3)
