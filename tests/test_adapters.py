"""Adapters of modules: encoders of other conventions are checked like others."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.adapters import (
    MaskAdapter,
    compacted,
    pyg,
    select_output,
    set_by_set,
    with_lengths,
)


class Inverted(nn.Module):
    """A masked sum whose mask marks absent elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor, absent: Tensor) -> Tensor:
        present = torch.where(absent[:, :, None], torch.zeros_like(x), x)
        return (torch.tanh(self.project(present)) * ~absent[:, :, None]).sum(1)


class SumAggregation(nn.Module):
    """A sum with the signature of an aggregation of PyTorch Geometric."""

    def forward(self, x: Tensor, index: Tensor, ptr: None = None, dim_size: int = 0, dim: int = -2) -> Tensor:
        assert dim == -2
        return x.new_zeros(dim_size, x.shape[1]).index_add(0, index, torch.sin(x) + 1)


def test_a_mask_may_say_what_is_absent() -> None:
    def build(dim_in: int) -> nn.Module:
        return MaskAdapter(Inverted(dim_in), lambda module, x, mask: module(x, ~mask))

    assert mbcbench.check(build, laws=["symmetry.padding"], examples=100)["status"].tolist() == ["pass"]


class LogitsAndWeights(nn.Module):
    """Attention over one bag, `n x d`, that returns its weights, `1 x n`, too."""

    def __init__(self, dim_in: int, output: Callable[..., object]) -> None:
        super().__init__()
        self.attention = nn.Linear(dim_in, 1)
        self.output = output

    def forward(self, bag: Tensor) -> Any:
        weights = self.attention(bag).T.softmax(1)
        return self.output(logits=weights @ bag, weights=weights)


def as_tuple(**entries: Tensor) -> tuple[Tensor, ...]:
    return tuple(entries.values())


class Outputs(NamedTuple):
    logits: Tensor
    weights: Tensor


@pytest.mark.parametrize(
    ("output", "key"),
    [
        (as_tuple, 0),
        (dict, "logits"),
        (Outputs, "logits"),
        (SimpleNamespace, "logits"),
    ],
)
def test_one_of_several_outputs_is_selected_inside_of_set_by_set_or_around_it(
    output: Callable[..., object], key: int | str
) -> None:
    x, mask = torch.randn(2, 4, 3), torch.tensor([[True] * 4, [True, True, False, False]])
    module = LogitsAndWeights(3, output)
    around, inside = select_output(set_by_set(module), key), set_by_set(select_output(module, key))
    assert around(x).shape == (2, 1, 3)
    assert torch.equal(around(x), inside(x))
    assert torch.equal(around(x, mask=mask), inside(x, mask=mask))  # the weights of unequal sets cannot be stacked
    laws = ["symmetry.padding", "symmetry.permutation"]
    assert set(mbcbench.check(around, laws=laws, examples=24)["status"]) == {"pass"}


def test_sets_are_flattened_for_an_aggregation() -> None:
    laws = ["mbc.partition", "symmetry.padding", "symmetry.batch"]
    result = mbcbench.check(lambda d: pyg(SumAggregation()), laws=laws, examples=200)
    assert set(result["status"]) == {"pass"}


def test_aggregations_of_pytorch_geometric_are_what_their_names_say() -> None:
    aggr = pytest.importorskip("torch_geometric.nn.aggr")
    holds = {"SumAggregation": ["sum"], "MaxAggregation": ["max"], "MeanAggregation": []}
    for name, expected in holds.items():
        result = mbcbench.check(lambda d, name=name: pyg(getattr(aggr, name)()), laws=["mbc.partition"], examples=200)
        pairs = result["detail.pairs"].iloc[0]
        assert [g for g, pair in pairs.items() if pair["consistent"]] == expected


def test_a_pooling_by_multihead_attention_breaks_partition_and_leaks_padding_that_is_not_finite() -> None:
    class Pool(nn.Module):
        def __init__(self, dim_in: int) -> None:
            super().__init__()
            self.embed = nn.Linear(dim_in, 4)
            self.queries = nn.Parameter(torch.randn(1, 2, 4))
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor, absent: Tensor) -> Tensor:
            elements = self.embed(x)
            out: Tensor = self.attention(self.queries.expand(len(x), -1, -1), elements, elements, absent)[0]
            return out

    def build(dim_in: int) -> nn.Module:
        return MaskAdapter(Pool(dim_in), lambda module, x, mask: module(x, ~mask))

    laws = ["mbc.partition", "symmetry.padding", "symmetry.permutation", "substance.attention"]
    assert list(mbcbench.check(build, laws=laws, examples=200)["status"]) == ["fail", "fail", "pass", "pass"]


class RelativeLengths(nn.Module):
    """A mean of padded sets that is told which fraction of them is present, as in SpeechBrain."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        sizes = (lengths * x.shape[1]).round()[:, None]
        present = torch.arange(x.shape[1]) < sizes
        features = torch.tanh(self.project(torch.where(present[..., None], x, 0))) * present[..., None]
        out: Tensor = features.sum(1) / sizes.clamp(min=1)
        return out


@pytest.mark.parametrize(("relative", "status"), [(True, "pass"), (False, "fail")])
def test_lengths_may_be_fractions(relative: bool, status: str) -> None:
    def encoder(dim_in: int) -> nn.Module:
        return with_lengths(RelativeLengths(dim_in), relative=relative)

    assert list(mbcbench.check(encoder, laws=["symmetry.padding"], examples=16)["status"]) == [status]


def test_compacted_passes_the_mask_by_name() -> None:
    class SumWithOption(nn.Module):
        def forward(self, x: Tensor, scale: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            assert scale is None
            return (x if mask is None else torch.where(mask[..., None], x, 0)).sum(1)

    x, mask = torch.randn(2, 5, 3), torch.tensor([[True, False, True, False, True], [False] * 4 + [True]])
    torch.testing.assert_close(compacted(SumWithOption())(x, mask=mask), (x * mask[..., None]).sum(1))


class CentresBagInPlace(nn.Module):
    """Reads one set, `n x d`, and subtracts its mean in place."""

    def forward(self, bag: Tensor) -> Tensor:
        bag -= bag.mean(0)
        return bag.amax(0)


def test_a_set_that_is_modified_inside_an_adapter_is_noticed() -> None:
    result = mbcbench.check(set_by_set(CentresBagInPlace()), laws=["hygiene.inputs"], dim_in=3, examples=16)
    assert result["status"].tolist() == ["fail"]
