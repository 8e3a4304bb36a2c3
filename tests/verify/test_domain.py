"""Domains: a law is tried on what an encoder admits, and a clear refusal of anything else is not an accident."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.domain import Domain, declared_domain
from mbcbench.verify.example import Example
from mbcbench.verify.law import get_law
from tests.controls.base import Mean, Sum

BUDGET = Budget(examples=64, min_examples=4)
BROKEN = (Status.FAIL, Status.ERROR, Status.XPASS)


class RefusesNaN(nn.Module):
    """A sum that refuses elements that are not finite."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, 4), nn.Tanh())

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if not bool(x.isfinite().all()):
            raise ValueError("elements must be finite")
        features: Tensor = self.phi(x)
        return features.sum(1) if mask is None else (features * mask[..., None]).sum(1)


class SwallowsNaN(RefusesNaN):
    """Its faulty twin: NaN becomes zero."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.nan_to_num(), mask)


class RefusesEmptyChunks(Mean):
    """A mean over a stream that refuses chunks without elements."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if x.shape[1] == 0 or (mask is not None and not bool(mask.any())):
            raise ValueError("a chunk needs at least one element")
        return super().update(state, x, mask)


class FailsOnEmptyChunks(Mean):
    """Its faulty twin: the chunk is an accident."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x / x.shape[1] * x.shape[1] if x[0, 0].numel() else x, mask)


class ReadsTokens(Mean):
    """A mean of embeddings that raises for anything but the tokens it declares."""

    vocabulary = 5

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.table = nn.Embedding(self.vocabulary, dim_in)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        index = x.long()
        if not torch.equal(index.to(x.dtype), x) or bool(((index < 0) | (index >= self.vocabulary)).any()):
            raise IndexError(f"{x.flatten()[:3].tolist()} are no tokens")
        return super().update(state, self.table(index[..., 0]), mask)


class Nearest(nn.Module):
    """The distances to the four nearest elements, and a mean: it admits no sets of fewer than four."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, 4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        distances = (x[:, :, None] - x[:, None]).square().sum(3)
        near = distances.topk(4, largest=False).values
        features: Tensor = self.phi(x)
        return torch.cat([features.mean(1), near.mean((1, 2))[:, None]], 1)


class DeclaresFour(Nearest):
    min_size = 4


class RefusesThree(Nearest):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < 4:
            raise ValueError(f"a set has at least 4 elements, not {x.shape[1]}")
        return super().forward(x)


class NearestByPosition(DeclaresFour):
    """Weights elements by position."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x) + self.phi(x)[:, :1].sum(2)
        return out


class MaximumOfFour(nn.Module):
    """A maximum over the elements: a pair (f, max) is consistent, for chunks of four and more."""

    min_size = 4

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.min_size:
            raise RuntimeError("selected index k out of range")
        out: Tensor = self.phi(x).amax(1)
        return out


def statuses(encoder: type[nn.Module], *laws: str, **spec: Any) -> list[Status]:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder, **spec), dim_in=3, seed=0)
    return [checker.try_law(get_law(law), BUDGET).status for law in laws]


def test_refusing_nan_is_as_good_as_passing_it_on() -> None:
    assert statuses(RefusesNaN, "hygiene.nonfinite", "symmetry.padding") == [Status.PASS, Status.PASS]
    assert statuses(SwallowsNaN, "hygiene.nonfinite") == [Status.FAIL]


def test_an_encoder_may_declare_that_it_admits_finite_elements_only() -> None:
    assert statuses(RefusesNaN, "hygiene.nonfinite", finite_only=True) == [Status.SKIP]


def test_refusing_an_empty_chunk_is_not_an_accident() -> None:
    assert statuses(RefusesEmptyChunks, "mbc.empty") == [Status.PASS]
    assert statuses(FailsOnEmptyChunks, "mbc.empty") == [Status.ERROR]


@pytest.mark.parametrize("encoder", [DeclaresFour, RefusesThree])
def test_laws_respect_the_least_size_that_an_encoder_declares_or_refuses_to_go_below(encoder: type[nn.Module]) -> None:
    laws = ("symmetry.permutation", "symmetry.batch", "hygiene.determinism", "substance.elements",
        "symmetry.replication", "substance.interactions")  # fmt: skip
    assert not set(statuses(encoder, *laws)) & set(BROKEN)


def test_the_law_about_sets_of_every_size_says_which_are_no_input() -> None:
    result = Checker(EncoderSpec(name="refuses", factory=RefusesThree), dim_in=3).try_law(
        get_law("hygiene.finite"), BUDGET
    )
    assert result.status is Status.PASS
    assert "a set of 1 to 3 elements raises ValueError: a set has at least 4 elements, not 3" in result.message
    fix = "declare `min_size = 4` in the class or its EncoderSpec"
    assert result.message.endswith(f"if such sets are not admitted, {fix}")


def test_a_least_size_in_the_spec_is_respected() -> None:
    assert statuses(Nearest, "symmetry.permutation", min_size=4) == [Status.PASS]


def test_a_fault_is_found_and_made_small_within_the_domain() -> None:
    checker = Checker(EncoderSpec(name="wrong", factory=NearestByPosition), dim_in=3, seed=0)
    result = checker.try_law(get_law("symmetry.permutation"), BUDGET)
    assert result.status is Status.FAIL
    assert result.search is not None
    assert result.search.counterexample is not None
    assert result.search.counterexample.example.n == 4


def test_each_chunk_of_a_plain_module_has_the_least_size() -> None:
    assert statuses(MaximumOfFour, "mbc.partition", "mbc.program", "mbc.order") == [Status.PASS] * 3


class EatsTensors(Sum):
    """Asks for eight tebibytes for sets of four elements and more."""

    def features(self, x: Tensor) -> Tensor:
        return torch.ones(2**40, dtype=torch.float64) if x.shape[1] > 3 else super().features(x)


def test_a_law_that_runs_out_of_memory_is_no_error_of_the_encoder() -> None:
    checker = Checker(EncoderSpec(name="eats", factory=EatsTensors), dim_in=3, seed=0)
    # Laws of whole sets of at most three elements still hold.
    record = checker.judge("mbc.order", BUDGET)
    assert record.status is Status.OOM
    assert record.message.startswith("memory ran out: ")


def test_a_least_size_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="min_size=0"):
        EncoderSpec(name="none", factory=Sum, min_size=0)


def test_an_example_is_fitted_to_the_domain() -> None:
    example = Example(sizes=(1, 2), arrangement="shuffled")
    assert Domain().fit(example) == example
    assert Domain(min_size=4).fit(example).sizes == (4, 2)
    assert Domain(min_size=4, every_chunk=True).fit(example).sizes == (4, 5)
    assert Domain(order_sensitive=True).fit(example).arrangement == "contiguous"


class MistakesSizeForWidth(nn.Module):
    """Encodes sets of exactly three elements, by mistaking them for coordinates."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x.transpose(1, 2)).mean(1)
        return out


class AtMostHundred(RefusesNaN):
    """Refuses large sets, with a message."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.shape[1] > 100:
            raise ValueError(f"a set has at most 100 elements, not {x.shape[1]}")
        return super().forward(x, mask)


def test_sets_that_raise_by_accident_are_one_row_with_what_to_declare() -> None:
    checker = Checker(EncoderSpec(name="nearest", factory=Nearest), dim_in=3)
    result = checker.try_law(get_law("hygiene.finite"), BUDGET)
    assert result.status is Status.ERROR
    assert re.fullmatch(
        r"a set of 1 to 3 elements raises RuntimeError: .*k.* \(tests/verify/test_domain.py:\d+\); "
        r"if such sets are not admitted, declare `min_size = 4` in the class or its EncoderSpec, "
        r"or raise ValueError with a message",
        result.message,
    )
    others = ["symmetry.permutation", "symmetry.batch", "hygiene.determinism", "mbc.partition", "hygiene.dtype"]
    assert Status.ERROR not in [checker.try_law(get_law(law), BUDGET).status for law in others]


def test_a_size_that_alone_is_encoded_is_not_the_least_size() -> None:
    module = MistakesSizeForWidth(3)
    assert declared_domain(EncoderSpec(name="layout", factory=MistakesSizeForWidth), module, 5).min_size == 1


def test_refusing_large_sets_is_not_an_accident() -> None:
    result = Checker(EncoderSpec(name="capped", factory=AtMostHundred), dim_in=3).try_law(
        get_law("symmetry.size"), BUDGET
    )
    assert (result.status, result.message) == (Status.SKIP, "a set of 256 elements is refused with a message")


@pytest.mark.slow
def test_all_elements_are_tokens_if_an_encoder_declares_a_vocabulary() -> None:
    table = mbcbench.check(ReadsTokens, dim_in=1, examples=60)
    assert set(table["status"]) <= {"pass", "ok", "skip"}
