"""What the laws of states try, and what they say: resuming, forking, large sets and memory."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import states
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from mbcbench.verify.subject import Subject
from tests.controls.base import Mean, Sums
from tests.controls.states import DropoutInTraining
from tests.verify.culprit_encoders import WIDTH as FEATURES
from tests.verify.culprit_encoders import CountsChunks, Flattened, Stream
from tests.verify.helpers import WIDTH, check, data_of, holds, subject_of


def locate(law: str, encoder: Callable[[int], nn.Module], *sizes: int) -> str:
    find = get_law(law).locate
    assert find is not None
    with torch.no_grad():
        return find(subject_of(encoder), data_of(*sizes))


def recorder() -> tuple[type[Mean], list[tuple[str, Any]]]:
    """Return a mean that writes each of its steps, with the argument, into a list."""
    steps: list[tuple[str, Any]] = []

    class Recorded(Mean):
        def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
            steps.append(("update", x.clone()) if mask is None else ("masked update", (x.clone(), mask.clone())))
            return super().update(state, x, mask)

        def merge(self, a: Any, b: Any) -> Any:
            steps.append(("merge", (a.number.tolist(), b.number.tolist())))
            return super().merge(a, b)

        def readout(self, state: Any) -> Tensor:
            steps.append(("readout", state.number.tolist()))
            return super().readout(state)

    return Recorded, steps


# ---- mbc.resume


class StateWithFunction(Mean):
    """Keeps a function in its state, which cannot be saved."""

    def init_state(self, batch_size: int) -> Any:
        return {"sums": super().init_state(batch_size), "next": print}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return {**state, "sums": super().update(state["sums"], x, mask)}

    def readout(self, state: Any) -> Tensor:
        return super().readout(state["sums"])


class CountsOnModule(Mean):
    """Counts its chunks on the module, and cannot continue a stream whose start it has not seen."""

    chunks = 0

    def init_state(self, batch_size: int) -> Any:
        self.chunks = 0
        return super().init_state(batch_size)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if bool((state.number > 0).any()) and not self.chunks:
            raise RuntimeError("the start of the stream is missing")
        self.chunks += 1
        return super().update(state, x, mask)


def test_a_state_that_cannot_be_saved_is_a_violation() -> None:
    comparison = check("mbc.resume", StateWithFunction)
    assert comparison.gap.tolist() == [torch.inf, torch.inf]
    assert comparison.note.startswith("a state may hold tensors and plain values, not builtin_function")


def test_a_loaded_state_that_cannot_be_continued_is_a_violation() -> None:
    outcomes = {}
    for seed in range(12):
        data = ExampleData(Example(sizes=(1, 2), kinds=(0,), seed=seed), WIDTH)
        comparison = get_law("mbc.resume").check(subject_of(CountsOnModule), data)
        outcomes[data.choices["saved before chunk"]] = comparison
    assert outcomes.keys() == {0, 1, 2}
    assert [holds(outcomes[stop]) for stop in range(3)] == [True, False, True]
    reason = "a stream that is loaded again raises RuntimeError: the start of the stream is missing"
    assert outcomes[1].note.startswith(reason)


# ---- mbc.fork


def test_a_state_is_used_in_every_way_without_a_change() -> None:
    encoder, steps = recorder()
    subject, chunk = subject_of(encoder), data_of(3).x
    start = subject.init_state(2)
    state = subject.update(start, chunk)
    steps.clear()
    uses = list(states._uses(subject, state, start, chunk))
    assert [name for name, _ in uses] == ["readout", "update", "update with a mask", "merge", "merge"]
    for _, use in uses:
        use()
    assert [name for name, _ in steps] == ["readout", "update", "masked update", "merge", "update", "merge"]
    assert torch.equal(steps[1][1], chunk * 0.5)
    assert [argument for name, argument in steps if name == "merge"] == [([3, 3], [3, 3])] * 2


class SumWithoutMerge(nn.Module):
    """Takes no mask, and cannot merge."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def init_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, WIDTH, dtype=torch.float64)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        return state + x.sum(1)

    def readout(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


def test_a_fresh_state_is_not_read_out_and_nothing_is_used_that_an_encoder_lacks() -> None:
    chunk = data_of(3).x
    for encoder, names in ((Mean, ["update with a mask", "merge", "merge"]), (SumWithoutMerge, [])):
        subject = subject_of(encoder)
        start = subject.init_state(2)
        assert [name for name, _ in states._uses(subject, start, start, chunk)] == ["update", *names]


@pytest.mark.parametrize(("size", "present"), [(1, [True]), (2, [True, False]), (4, [True, True, True, False])])
def test_the_last_of_several_elements_is_masked(size: int, present: list[bool]) -> None:
    encoder, steps = recorder()
    subject, chunk = subject_of(encoder), data_of(size).x
    state = states._update_masked(subject, subject.init_state(2), chunk)
    ((name, (x, mask)),) = steps
    assert name == "masked update"
    assert torch.equal(x, chunk)
    assert mask.dtype is torch.bool
    assert mask.tolist() == [present, present]
    assert state.number.tolist() == [sum(present)] * 2


@pytest.mark.parametrize(
    ("a", "b", "is_equal"),
    [
        ([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]], True),
        ([[1.0, torch.nan]], [[1.0, torch.nan]], True),
        ([[1.0, torch.nan]], [[1.0, 2.0]], False),
        ([[1.0, 2.0]], [[1.0, 3.0]], False),
        ([[1.0], [2.0]], [[1.0], [3.0]], False),
        ([[1.0, 1.0]], [[1.0]], False),
        ([[1.0]], [[1.0], [1.0]], False),
    ],
)
def test_states_are_equal_if_all_their_numbers_are(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]], is_equal: bool
) -> None:
    assert states._are_equal([torch.tensor(t) for t in a], [torch.tensor(t) for t in b]) is is_equal


def changes_in_place_from(number: int) -> type[Mean]:
    """Return an encoder that changes a state of so many elements or more in place."""

    class ChangesInPlace(Mean):
        def add(self, a: Any, b: Any) -> Any:
            total = a.total.clone()
            if a.number.numel() and int(a.number[0]) >= number:
                a.total.add_(b.total)
            return Sums(total + b.total, a.number + b.number)

    return ChangesInPlace


@pytest.mark.parametrize("after", [1, 2, 3])
def test_one_of_the_first_four_states_that_is_changed_is_a_violation(after: int) -> None:
    data = data_of(*[1] * 6)
    with torch.no_grad():
        comparison = get_law("mbc.fork").check(subject_of(changes_in_place_from(after)), data)
    assert comparison.note == "using a state changed it"
    assert data.choices["changed after chunk"] == after
    assert locate("mbc.fork", changes_in_place_from(after), *[1] * 6) == "state.total: changed in place by update"


def test_later_states_of_a_stream_are_not_forked() -> None:
    assert holds(check("mbc.fork", changes_in_place_from(4), *[1] * 8))
    assert locate("mbc.fork", changes_in_place_from(4), *[1] * 8) == ""


class AddsToModule(Mean):
    """Adds up the elements of all streams since the last start, on the module."""

    def init_state(self, batch_size: int) -> Any:
        self.kept = state = super().init_state(batch_size)
        return state

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.kept = super().update(self.kept, x, mask)
        return self.kept


class KeepsMaskedSums(Mean):
    """Keeps the sums of a masked stream on the module."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is None:
            return super().update(state, x)
        if bool((state.number == 0).all()):
            self.kept = state
        self.kept = super().update(self.kept, x, mask)
        return self.kept


class RefusesMasks(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            raise ValueError("no masks in streams")
        return super().update(state, x)


def test_interleaved_streams_of_an_encoder_that_keeps_them_on_the_module_differ() -> None:
    subject, data = subject_of(AddsToModule), data_of(2, 1)
    with torch.no_grad():
        expected = subject.stream(data.chunks, subject.init_state(2))
        assert not holds(states._compare_interleaved(subject, data, expected))
        assert holds(states._compare_interleaved(subject_of(Mean), data, subject_of(Mean).encode(data.x)))
        random = subject_of(AddsToModule, deterministic=False)
        assert states._compare_interleaved(random, data, expected).gap.tolist() == [0.0, 0.0]


def test_one_of_two_interleaved_streams_is_wrong() -> None:
    class SecondIsWrong(Mean):
        """Starts the second of its streams with a number that is too large."""

        streams = 0

        def init_state(self, batch_size: int) -> Any:
            self.streams += 1
            number = torch.full((batch_size,), 5 if self.streams == 2 else 0)
            return super().init_state(batch_size)._replace(number=number)

    subject, data = subject_of(SecondIsWrong), data_of(2, 1)
    with torch.no_grad():
        assert not holds(states._compare_interleaved(subject, data, subject_of(Mean).encode(data.x)))


def test_masked_streams_that_are_kept_on_the_module_are_explained() -> None:
    comparison = check("mbc.fork", KeepsMaskedSums)
    assert not holds(comparison)
    assert comparison.note.startswith("two masked streams that are fed in turn are encoded otherwise")
    assert check("mbc.fork", Mean).note == ""
    assert holds(check("mbc.fork", KeepsMaskedSums, deterministic=False))


def test_masked_streams_that_are_refused_are_not_compared() -> None:
    comparison = check("mbc.fork", RefusesMasks)
    assert holds(comparison)
    assert comparison.note == ""


def test_interleaved_masked_streams_have_other_elements_and_other_padding() -> None:
    encoder, steps = recorder()
    data = data_of(2, 3)
    with torch.no_grad():
        states._compare_interleaved_masked(subject_of(encoder), data)
    fed = [argument for name, argument in steps if name == "masked update"]
    assert [x.shape[1] for x, _ in fed] == [4, 5, 3, 4, 4, 3, 5, 4]
    for (x, mask), number in zip(fed[:4], (0, 1, 0, 1), strict=True):
        present = x[mask].reshape(data.chunks[number].shape)
        assert torch.equal(present, data.chunks[number] * (1 if len(x[0]) == len(present[0]) + 2 else 0.5))
    assert [step for step in steps if step[0] == "readout"] == [("readout", [5, 5])] * 4


@pytest.mark.parametrize("dim_in", [1, 3])
def test_the_stream_before_the_others_has_its_elements_in_reverse(dim_in: int) -> None:
    encoder, steps = recorder()
    data = ExampleData(Example(sizes=(2, 1), kinds=(0,), seed=1), dim_in)
    with torch.no_grad():
        torch.manual_seed(0)
        states.check_fork(Subject(encoder(dim_in).double(), dim_in), data)
    fed = [argument for name, argument in steps if name == "update"]
    assert torch.equal(fed[0], data.x.flip(1))
    others = torch.cat([fed[4], fed[6]], 1)  # of the interleaved stream
    assert torch.equal(others, data.x.flip(1))


# ---- mbc.train


@pytest.mark.parametrize(
    ("encoder", "culprit"),
    [
        (CountsChunks, "state.moments.number differs"),  # in eval mode too
        (DropoutInTraining, "dropout (Dropout): draws random numbers for each chunk"),
        (
            lambda dim_in: Stream(dim_in, nn.Sequential(Flattened(nn.BatchNorm1d(FEATURES)), nn.Tanh())),
            "layer.0.inner (BatchNorm1d): mixes the elements of a set in train mode",
        ),
    ],
)
def test_what_differs_in_train_mode_is_named(encoder: Callable[[int], nn.Module], culprit: str) -> None:
    assert locate("mbc.train", encoder, 2, 1) == culprit


class NoisyInTraining(Mean):
    """Adds noise to its features in train mode."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + (torch.randn_like(x[..., :1]) if self.training else 0)


class RefusesTraining(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if self.training:
            raise ValueError("frozen")
        return super().update(state, x, mask)


def test_noise_for_each_element_breaks_the_law_of_training_and_leaves_the_generator() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        before = torch.get_rng_state()
        subject, data = subject_of(NoisyInTraining), data_of(2, 1)
        torch.set_rng_state(before)
        with torch.no_grad():
            assert not holds(states.check_train(subject, data))
        assert torch.equal(torch.get_rng_state(), before)
    assert holds(check("mbc.train", Mean))


def test_an_encoder_that_refuses_training_is_not_judged() -> None:
    with pytest.raises(NotApplicable, match="such a stream in train mode is refused: ValueError: frozen"):
        check("mbc.train", RefusesTraining)
