"""Global state of the process: in which calls the law watches it, and how it describes a change."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mbcbench.suites.laws import hygiene
from tests.controls.base import Mean
from tests.suites.laws.helpers import Recording, RecordingMasks, law_says
from tests.verify.helpers import check, data_of, holds, subject_of


class RecordingSteps(RecordingMasks):
    """Keeps what it is asked to do."""

    def init_state(self, batch_size: int) -> Any:
        self.masks.append(("start", batch_size))
        return super().init_state(batch_size)

    def merge(self, a: Any, b: Any) -> Any:
        self.masks.append(("merge", (a.number + b.number).tolist()))
        return super().merge(a, b)

    def readout(self, state: Any) -> Tensor:
        self.masks.append(("readout", state.number.tolist()))
        return super().readout(state)


def test_sets_are_encoded_whole_masked_and_in_a_stream_that_is_merged() -> None:
    subject = subject_of(RecordingSteps)
    for _ in hygiene._calls(subject, data_of(2, 1)):
        pass
    start, result = ("start", 2), ("readout", [3, 3])
    assert subject.module.masks == [
        *(("set", None), start, result),
        *(("set", [[True] * 3] * 2), start, result),
        *(start, ("chunk", None), ("chunk", None), ("merge", [6, 6]), result),
    ]


def test_a_set_without_streams_and_masks_is_encoded_once() -> None:
    subject = subject_of(Recording)
    assert len(list(hygiene._calls(subject, data_of(3)))) == len(subject.module.inputs) == 1


def global_states() -> tuple[object, ...]:
    numpy_state: Any = np.random.get_state()
    _, key, position = numpy_state[:3]
    return torch.get_rng_state().tolist(), (key.tolist(), position), random.getstate()


def test_global_generators_are_advanced_and_restored() -> None:
    before = global_states()
    with hygiene._advanced_generators():
        inside = global_states()
        torch.rand(1)
        np.random.random_sample()
        random.random()
    assert [a != b for a, b in zip(before, inside, strict=True)] == [True, True, True]
    assert global_states() == before
    with pytest.raises(RuntimeError, match="inside"), hygiene._advanced_generators():
        raise RuntimeError("inside")
    assert global_states() == before


class Acts(Mean):
    """Does something to the process for each set in one piece."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        type(self).act()
        return super().forward(x, mask)


def draws_with_gradients() -> None:
    if torch.is_grad_enabled():
        torch.rand(1)


def raises_with_gradients() -> None:
    if torch.is_grad_enabled():
        raise RuntimeError("no gradients")


@pytest.mark.parametrize(
    ("act", "note"),
    [
        (lambda: None, ""),
        (lambda: torch.rand(1), "the state of torch's global generator changed"),
        (np.random.random_sample, "the state of NumPy's global generator changed"),
        (random.random, "the state of `random` changed"),
        (draws_with_gradients, "the state of torch's global generator changed"),
        (raises_with_gradients, ""),
        (
            lambda: torch.set_default_dtype(torch.float64),
            "the default dtype changed from torch.float32 to torch.float64",
        ),
        (lambda: torch.set_grad_enabled(True), "the gradient mode changed from False to True"),
        (lambda: torch.set_grad_enabled(False), "the gradient mode changed from True to False"),
    ],
)
def test_what_an_encoder_changes_in_the_process_is_named_and_restored(act: Callable[[], object], note: str) -> None:
    subject = subject_of(type("Acting", (Acts,), {"act": staticmethod(act)}))
    before, default = global_states(), torch.get_default_dtype()
    comparison = law_says("hygiene.rng", subject, data_of(2))
    assert (comparison.note, holds(comparison)) == (note, not note)
    assert global_states() == before
    assert torch.get_default_dtype() is default
    assert torch.is_grad_enabled()


class RaisesInMerge(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        torch.rand(1)
        raise RuntimeError("no merge")


def test_a_merge_that_raises_may_still_draw() -> None:
    assert check("hygiene.rng", RaisesInMerge).note == "the state of torch's global generator changed"
