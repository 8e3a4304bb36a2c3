"""Sets with padding: where it is, what it holds, and how outputs for it are left out."""

import math
from collections import Counter

import pytest
import torch

from mbcbench.suites.laws.padded import (
    Padded,
    _draw_present,
    corner,
    cut_rows,
    describe_padding,
    first_padding,
    of_present,
    pad_sets,
    padded_with_zeros,
    with_finite_padding,
)
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from tests.verify.helpers import WIDTH, numbers, subject_of

ALL = Domain()


def data_of(*sizes: int, seed: int = 0, batch_size: int = 4, dtype: torch.dtype = torch.float64) -> ExampleData:
    example = Example(sizes=sizes, kinds=(0,) * batch_size, seed=seed, arrangement="shuffled")
    return ExampleData(example, WIDTH, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(12))
def test_padding_lies_between_the_elements_of_each_set(seed: int, dtype: torch.dtype) -> None:
    data = data_of(3, seed=seed, dtype=dtype)
    x, present = pad_sets(data.x, 2, data, ALL, math.inf)
    assert x.shape == (4, 5, WIDTH)
    assert x.dtype == dtype
    assert torch.equal(x[present].view_as(data.x), data.x)
    padding = x[~present].view(4, 2, WIDTH)
    assert bool((padding[:, 0] == math.inf).all())
    assert bool(padding[:, 1].isfinite().all())
    assert len(padding[:, 1].unique()) == 4 * WIDTH


def test_padding_has_the_size_that_is_asked_for() -> None:
    data = data_of(2)
    for scale, padded in (
        (1000.0, pad_sets(data.x, 500, data, ALL)),
        (7.0, pad_sets(data.x, 500, data, ALL, scale=7.0)),
    ):
        padding = padded.x[~padded.present]
        assert bool(padding.isfinite().all())
        assert padding.square().mean().sqrt().item() == pytest.approx(scale, rel=0.1)
        assert abs(padding.mean().item()) < 0.1 * scale


def test_padding_of_tokens_consists_of_tokens() -> None:
    data = data_of(2)
    x, present = pad_sets(data.x, 20, data, Domain(vocabulary=3))
    assert set(x[~present].unique().tolist()) <= {0.0, 1.0, 2.0}


def test_half_of_the_masks_have_the_same_columns_for_all_sets() -> None:
    shares: Counter[str] = Counter()
    for seed in range(1000):
        present = _draw_present(4, 2, 2, data_of(1, seed=seed))
        assert present.shape == (4, 4)
        assert present.sum(1).tolist() == [2] * 4
        row = present[0].tolist()
        end = {(True, True, False, False): "on the right", (False, False, True, True): "on the left"}
        is_common = bool((present == present[0]).all())
        shares[end.get(tuple(row), "in other common columns") if is_common else "in columns of each set"] += 1
    # One sixth each is on the right, on the left and in common columns, and of the last a sixth is at either end.
    assert shares["on the right"] / 1000 == pytest.approx(1 / 6 + 1 / 36, abs=0.04)
    assert shares["on the left"] / 1000 == pytest.approx(1 / 6 + 1 / 36, abs=0.04)
    assert shares["in other common columns"] / 1000 == pytest.approx(4 / 36, abs=0.04)
    assert shares["in columns of each set"] / 1000 == pytest.approx(1 / 2, abs=0.04)


def test_the_columns_of_each_set_are_drawn_apart() -> None:
    masks = [_draw_present(2, 2, 2, data_of(1, seed=seed, batch_size=2)) for seed in range(300)]
    rows = Counter(tuple(present[1].tolist()) for present in masks if bool((present[0] != present[1]).any()))
    assert len(rows) == 6
    assert max(rows.values()) < 3 * min(rows.values())


@pytest.mark.parametrize(("seed", "value"), [(0, math.nan), (1, math.inf), (2, 0.0), (3, math.nan), (4, math.inf)])
def test_the_first_padding_is_nan_infinity_or_zero_if_that_is_admitted(seed: int, value: float) -> None:
    data = data_of(1, seed=seed)
    assert first_padding(subject_of(), data) == pytest.approx(value, nan_ok=True)
    assert first_padding(subject_of(domain=Domain(finite_only=True)), data) is None
    assert first_padding(subject_of(domain=Domain(vocabulary=3)), data) is None


def test_what_is_not_finite_in_padding_is_replaced_by_ones() -> None:
    x = torch.tensor([[[math.nan, 5.0], [math.inf, -math.inf], [math.nan, -3.0]]])
    present = torch.tensor([[True, False, False]])
    finite = with_finite_padding(Padded(x, present))
    assert torch.equal(finite.present, present)
    assert finite.x[0, 1:].tolist() == [[1.0, 1.0], [1.0, -3.0]]
    assert finite.x[0, 0].tolist() == pytest.approx([math.nan, 5.0], nan_ok=True)


def test_a_leak_of_padding_is_described() -> None:
    finite_leaks, finite_is_fine = (describe_padding(is_finite_fine=is_fine) for is_fine in (False, True))
    assert finite_leaks == "padding changes the encoding, with finite values too"
    assert finite_is_fine.startswith("finite padding is fine, but NaN or infinity in padding reaches the encoding")


def test_sets_of_a_batch_are_cut_as_they_are_in_the_stream() -> None:
    data, rows = data_of(2, 1, 3), torch.tensor([2, 0, 0])
    chunks = cut_rows(data, data.x[rows], rows)
    assert len(chunks) == 3
    for chunk, whole in zip(chunks, data.chunks, strict=True):
        assert torch.equal(chunk, whole[rows])


# ---- outputs of layers

PRESENT = torch.tensor([[True, False, True], [False, True, True]])


def test_the_outputs_of_a_layer_for_present_elements_are_kept() -> None:
    out = torch.arange(18.0).view(2, 3, 3)
    outputs = of_present(out, PRESENT, torch.zeros(2, 2, 3))
    assert outputs.tolist() == [[[0, 1, 2], [6, 7, 8]], [[12, 13, 14], [15, 16, 17]]]
    assert torch.equal(of_present(out[1:], PRESENT[1:], torch.zeros(1, 2, 3)), outputs[1:])


def test_outputs_for_each_pair_are_kept_if_both_elements_are_present() -> None:
    out = torch.arange(18.0).view(2, 3, 3)
    assert of_present(out, PRESENT, torch.zeros(2, 2, 2)).tolist() == [[[0, 2], [6, 8]], [[13, 14], [16, 17]]]
    edges = of_present(torch.stack([out, -out], -1), PRESENT, torch.zeros(2, 2, 2, 2))
    assert edges[..., 0].tolist() == [[[0, 2], [6, 8]], [[13, 14], [16, 17]]]
    assert torch.equal(edges[..., 1], -edges[..., 0])


def test_axes_that_padding_does_not_lengthen_are_kept() -> None:
    out = torch.arange(12.0).view(2, 3, 2)
    assert of_present(out, PRESENT, torch.zeros(2, 2, 2)).tolist() == [[[0, 1], [4, 5]], [[8, 9], [10, 11]]]
    same = torch.arange(12.0).view(2, 2, 3)
    assert torch.equal(of_present(same, PRESENT, torch.zeros(2, 2, 3)), same)
    for dims in ((2, 2), (2, 2, 3, 1)):  # outputs of another layer, whose shapes do not agree
        kept = of_present(torch.arange(18.0).view(2, 3, 3), PRESENT, torch.zeros(dims))
        assert kept.shape == (2, 2, 3)


def test_outputs_of_smaller_sets_are_followed_by_zeros() -> None:
    padded = padded_with_zeros(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.ones(1, 3, 3))
    assert padded.tolist() == [[[1, 2, 0], [3, 4, 0], [0, 0, 0]]]


def test_the_first_outputs_along_each_axis_are_a_corner() -> None:
    out = numbers(*range(12)).view(1, 3, 4)
    assert corner(out, torch.zeros(1, 2, 3)).tolist() == [[[0, 1, 2], [4, 5, 6]]]
