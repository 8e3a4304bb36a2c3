"""What the laws of mini-batch consistency try: orders, trees, and streams with empty chunks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.suites.laws import mbc
from mbcbench.verify.domain import Domain
from mbcbench.verify.law import get_law
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Sum, Sums
from tests.verify.culprit_encoders import CountsChunks, Plain, SetLayerNorm
from tests.verify.helpers import WIDTH, check, data_of, holds, subject_of


class CountsElements(Sum):
    """The number of elements, as a sum of ones."""

    def features(self, x: Tensor) -> Tensor:
        return torch.ones_like(super().features(x))


class Nothing(Sum):
    """An encoding of zeros."""

    def features(self, x: Tensor) -> Tensor:
        return torch.zeros_like(super().features(x))


class MeanOfChunkMeans(Mean):
    """The mean of the means of chunks, for sets that start with a positive number; else the mean."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        is_wrong = (x[:, :1, 0] > 0) if x.shape[1] else torch.zeros(len(x), 1, dtype=torch.bool)
        mean = Sums(part.total / max(x.shape[1], 1), torch.ones_like(part.number))
        number = torch.where(is_wrong[:, 0], mean.number, part.number)
        return Sums(torch.where(is_wrong, mean.total, part.total), number)


# ---- mbc.partition


def test_a_stream_is_consistent_if_each_of_its_sets_is() -> None:
    negative_and_positive = data_of(2, 1)
    negative_and_positive.x = negative_and_positive.x.abs() * torch.tensor([-1.0, 1.0])[:, None, None]
    with torch.no_grad():
        assert mbc.is_consistent(subject_of(Mean), negative_and_positive)
        assert mbc.is_consistent(subject_of(Nothing), negative_and_positive)
        assert not mbc.is_consistent(subject_of(MeanOfChunkMeans), negative_and_positive)


@pytest.mark.parametrize(
    ("encoder", "culprit"),
    [
        (
            lambda dim_in: ChunkAggregation(Plain(dim_in, SetLayerNorm()), "sum"),
            "layers.0 (SetLayerNorm): mixes the elements of a set",
        ),
        (CountsChunks, "state.moments.number differs"),
        (Mean, ""),
    ],
)
def test_the_part_that_makes_a_stream_differ_is_named(encoder: Callable[[int], Any], culprit: str) -> None:
    with torch.no_grad():
        assert mbc.locate_partition(subject_of(encoder), data_of(2, 1)) == culprit


# ---- mbc.order and mbc.merge


@pytest.mark.parametrize("seed", range(6))
def test_two_chunks_arrive_in_the_other_order_and_one_chunk_in_its_own(seed: int) -> None:
    for sizes, order in (((2, 1), [1, 0]), ((3,), [0])):
        data = data_of(*sizes, seed=seed)
        with torch.no_grad():
            assert holds(mbc.check_order(subject_of(Mean), data))
        assert data.choices["order of the chunks"] == order


class FirstChunkCounts(Mean):
    """Encodes the first chunk only."""

    def add(self, a: Any, b: Any) -> Any:
        is_first = a.number == 0
        return Sums(torch.where(is_first[:, None], b.total, a.total), torch.where(is_first, b.number, a.number))


def test_an_encoder_of_the_first_chunk_depends_on_the_order() -> None:
    assert not holds(check("mbc.order", FirstChunkCounts))
    assert not all(holds(check("mbc.merge", FirstChunkCounts, 2, 1, 3, seed=seed)) for seed in range(6))


def test_a_chunk_alone_is_merged_with_a_fresh_state_on_either_side() -> None:
    trees = set()
    for seed in range(8):
        data = data_of(3, seed=seed)
        with torch.no_grad():
            assert holds(mbc.check_merge(subject_of(Mean), data))
        trees.add(data.choices["tree over the chunks"])
    assert trees == {"(fresh 0)", "(0 fresh)"}


def test_a_tree_over_neighbours_keeps_their_order() -> None:
    trees = set()
    for seed in range(30):
        data = data_of(1, 2, seed=seed)
        with torch.no_grad():
            mbc.check_merge(subject_of(Mean, domain=Domain(order_sensitive=True)), data)
        trees.add(data.choices["tree over the chunks"])
    orders = {tree.replace("(", "").replace(")", "") for tree in trees}
    assert orders == {"fresh 0 1", "0 fresh 1", "0 1 fresh"}
    assert {"((fresh 0) 1)", "(fresh (0 1))", "((0 1) fresh)", "(0 (1 fresh))"} <= trees


# ---- mbc.empty


def recorder() -> tuple[type[Mean], list[tuple[Tensor, Tensor | None]]]:
    """Return a mean that puts the chunks and masks that it is given into a list."""
    fed: list[tuple[Tensor, Tensor | None]] = []

    class Recorded(Mean):
        def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
            fed.append((x.clone(), mask))
            return super().update(state, x, mask)

    return Recorded, fed


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_has_two_empty_chunks_together_and_in_odd_examples_one_at_the_end(seed: int) -> None:
    encoder, fed = recorder()
    data = data_of(2, 1, 3, seed=seed)
    subject = subject_of(encoder)
    for position in range(4):
        fed.clear()
        data.choices["empty chunks before chunk"] = position
        mbc._stream_with_empty_chunks(subject, data, subject.init_state(2))
        sizes = [2, 1, 3]
        assert [x.shape[1] for x, _ in fed] == [*sizes[:position], 0, 0, *sizes[position:], *([0] if seed % 2 else [])]


@pytest.mark.parametrize("position", range(3))
def test_a_chunk_with_other_elements_that_are_all_absent_comes_before_a_chunk(position: int) -> None:
    encoder, fed = recorder()
    data, subject = data_of(2, 1, 3), subject_of(encoder)
    with torch.no_grad():
        out = mbc._stream_with_masked_chunk(subject, data, subject.init_state(2), position)
        assert torch.allclose(out, subject.encode(data.x))
    chunks = [x for x, _ in fed[:4]]
    masked, mask = fed[position]
    assert mask is not None
    assert mask.dtype is torch.bool
    assert mask.shape == masked.shape[:2]
    assert not bool(mask.any())
    assert torch.equal(masked, 3 * data.chunks[position] + 1)
    assert all(torch.equal(a, b) for a, b in zip(chunks[:position] + chunks[position + 1 :], data.chunks, strict=True))


def test_a_chunk_that_is_absent_is_tried_before_any_chunk_of_an_encoder_with_a_mask() -> None:
    positions = set()
    for seed in range(20):
        encoder, fed = recorder()
        data = data_of(2, 1, 3, seed=seed)
        with torch.no_grad():
            assert holds(mbc.check_empty(subject_of(encoder), data))
        (masked,) = [x for x, mask in fed if mask is not None]
        positions.add(next(n for n, chunk in enumerate(data.chunks) if torch.equal(masked, 3 * chunk + 1)))
    assert positions == {0, 1, 2}


class CountsAbsentChunks(CountsElements):
    """Counts an element for each chunk with a mask."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part if mask is None else part._replace(total=part.total + 1)


class RefusesAbsentChunks(CountsElements):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if mask is not None and not bool(mask.any()):
            raise ValueError("all elements are absent")
        return super().part(x, mask)


class CountsEmptyChunks(CountsElements):
    """Counts an element for each empty chunk that is not the first."""

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total + 1 * ((a.number > 0) & (b.number == 0))[:, None], a.number + b.number)


class RefusesEmptyChunks(CountsElements):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        if not x.shape[1]:
            raise ValueError("a chunk is empty")
        return super().part(x, mask)


@pytest.mark.parametrize(
    ("encoder", "gap"),
    [
        (CountsElements, 0.0),
        (CountsAbsentChunks, 1.0),
        (RefusesAbsentChunks, 0.0),
        (CountsEmptyChunks, 3.0),
        (RefusesEmptyChunks, 0.0),
    ],
)
def test_a_chunk_without_elements_changes_nothing_or_is_refused(encoder: type[Mean], gap: float) -> None:
    assert check("mbc.empty", encoder, 2, 1).gap.tolist() == [gap, gap]


def test_streams_without_elements_are_compared_with_the_empty_set() -> None:
    encoder, fed = recorder()
    subject = subject_of(encoder)
    with torch.no_grad():
        assert holds(mbc._compare_empty_set(subject, data_of(2), subject.init_state(2)))
    assert [tuple(x.shape) for x, _ in fed] == [(2, 0, WIDTH)] * 3


class NaNForNothing(Mean):
    """Has no encoding of no elements, and NaN for it if elements are fed in a stream of two chunks."""

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.total / state.number.unsqueeze(1)
        return mean


def outcome(encoding: Tensor | Exception) -> tuple[object, str]:
    """Return what is said of an encoding of no elements or an error: the encoding, or the gap, and the note."""

    def encode() -> Tensor:
        if isinstance(encoding, Exception):
            raise encoding
        return encoding

    result = mbc._encode_nothing(data_of(2), "nothing", encode)
    return (result.gap.tolist(), result.note) if isinstance(result, Comparison) else (result, "")


def test_no_elements_have_an_encoding_or_are_refused_with_a_message() -> None:
    zeros = torch.zeros(2, 4)
    assert outcome(zeros) == (zeros, "")
    for error in (ValueError("no elements"), IndexError("no elements"), RuntimeError("no elements")):
        assert outcome(error) == ([0.0, 0.0], "")
    for error in (ValueError(), ValueError(" "), RuntimeError("")):
        assert outcome(error) == ([torch.inf, torch.inf], "nothing raises an error without a message")
    for other in (TypeError("no elements"), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        with pytest.raises(type(other)):
            outcome(other)


@pytest.mark.parametrize(
    ("encoder", "choice"), [(CountsEmptyChunks, "empty chunks before chunk"), (CountsAbsentChunks, "masked chunk")]
)
def test_a_counterexample_shows_which_chunks_without_elements_matter(encoder: type[Mean], choice: str) -> None:
    data = data_of(2, 1)
    with torch.no_grad():
        assert not holds(get_law("mbc.empty").check(subject_of(encoder), data))
    (name,) = data.choices
    assert name.startswith(choice)


@pytest.mark.parametrize("row", [0, 1])
def test_a_single_nan_in_the_encoding_of_no_elements_is_a_violation(row: int) -> None:
    encoding = torch.zeros(2, 4)
    encoding[row, 2] = torch.nan
    reason = "nothing encodes to NaN: return a value, or raise ValueError with a message"
    assert outcome(encoding) == ([torch.inf, torch.inf], reason)


def test_nan_for_no_elements_is_a_violation_wherever_it_is_found() -> None:
    comparison = check("mbc.empty", NaNForNothing, 2, 1)
    assert not holds(comparison)
    assert comparison.note.startswith("an empty set encodes to NaN")
