"""Validation: one line that names the encoder, what happened, and the adapter to use."""

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench import adapters
from mbcbench.adapters import MaskAdapter, advice, channels_first
from mbcbench.errors import ADAPTERS_GUIDE, BrokenPluginError, UsageError
from mbcbench.protocol.build import spec_from_object
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.domain import Domain
from mbcbench.verify.validate import validate, why_width

BUDGET = Budget(examples=64, min_examples=4)


class Features(nn.Module):
    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 5)


class ChannelsFirst(Features):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x.transpose(1, 2)).mean(1)
        return out


class SequenceFirst(Features):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.layer_norm(self.phi(x).sum(0), (5,))
        return out


class OneBag(Features):
    def forward(self, x: Tensor) -> Tensor:
        n, _ = x.shape
        out: Tensor = self.phi(x).sum(0) / n
        return out


class BagOfLogits(Features):
    """Attention over one bag, as in models of multiple instance learning: logits, prediction, weights and more."""

    def __init__(self, dim_in: int, squeeze: bool = False) -> None:
        super().__init__(dim_in)
        self.attention, self.squeeze = nn.Linear(5, 1), squeeze

    def forward(self, bag: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        features = self.phi(bag.squeeze(0) if self.squeeze else bag)
        weights = torch.transpose(self.attention(features), 1, 0).softmax(1)
        logits = torch.mm(weights, features)
        return logits, logits.argmax(1), weights, {}


class NamedOutputs(BagOfLogits):
    def forward(self, bag: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        logits, prediction, weights, _ = super().forward(bag)
        return {"prediction": prediction, "logits": logits, "attention": weights}


class SumsFirstDimension(BagOfLogits):
    """Returns something for a batch too, over the wrong dimension."""

    def forward(self, bag: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        weights = self.attention(self.phi(bag)).softmax(0)
        return (weights * bag).sum(0), weights


class ChannelsFirstTuple(ChannelsFirst):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x), x


class Counts(Features):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).sum(1)


class ListOfSets(Features):
    def forward(self, x: list[Tensor]) -> Tensor:
        assert isinstance(x, list)
        return torch.stack([self.phi(one).mean(0) for one in x])


class WithBatch(Features):
    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        features: Tensor = self.phi(x)
        return features.new_zeros(int(batch.max()) + 1, 5).index_add(0, batch, features)


class WithLengths(Features):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        out: Tensor = self.phi(x).sum(1) / lengths[:, None]
        return out


class WithMask(Features):
    def forward(self, x: Tensor, key_padding_mask: Tensor) -> Tensor:
        out: Tensor = (self.phi(x) * ~key_padding_mask[..., None]).sum(1)
        return out


class SubtractsMask(Features):
    """The mask of Hugging Face's models, which is made of integers."""

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        out: Tensor = (self.phi(x) - 1e4 * (1.0 - attention_mask[..., None])).amax(1)
        return out


class WithTokens(nn.Module):
    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embedding(x).sum(1)
        return out


class WithEdges(Features):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        out: Tensor = self.phi(x)
        return out


class ReturnsTuple(Features):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.phi(x)
        return features.mean(1), features


class ReturnsDict(Features):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.phi(x)
        return {"pooled": features.mean(1), "elements": features}


class OnAnotherDevice(Features):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x).sum(1) + torch.zeros(5, device="meta")
        return out


class Float32Inside(Features):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x.float()).mean(1)
        return out


class Words(nn.Module):
    def __init__(self, dim_in: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.embedding, self.dtype = nn.Embedding(20, 5), dtype

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.embedding(x[..., 0].to(self.dtype)).sum(1)
        return out


@pytest.mark.parametrize(
    ("encoder", "adapter"),
    [
        (ChannelsFirst, "channels_first(module)"),
        (SequenceFirst, "sequence_first(module) or if it reads one set n x d"),
        (OneBag, "set_by_set(module)"),
        (BagOfLogits, "select_output(mbcbench.adapters.set_by_set(module), 0), or 2 in place of 0"),
        (partial(BagOfLogits, squeeze=True), "select_output(mbcbench.adapters.set_by_set(module), 0), or 2 in place"),
        (NamedOutputs, "select_output(mbcbench.adapters.set_by_set(module), 'logits'), or 'attention' in place of"),
        (SumsFirstDimension, "select_output(mbcbench.adapters.set_by_set(module), 0), or 1 in place of 0"),
        (ChannelsFirstTuple, "select_output(mbcbench.adapters.channels_first(module), 0), or 1 in place of 0"),
        (ListOfSets, "list_of_sets(module)"),
        (WithBatch, "pyg(module)"),
        (WithLengths, "with_lengths(module, 'lengths')"),
        (
            lambda d: adapters.renamed_mask(SubtractsMask(d), "attention_mask"),
            "renamed_mask(module, NAME, dtype=torch.",
        ),
        (WithTokens, "tokens(module, vocabulary=N)"),
        (WithMask, "inverted_mask(module, 'key_padding_mask')"),
        (Words, "tokens(module, vocabulary=N)"),
        (lambda d: Words(d, torch.int64), "tokens(module, vocabulary=N)"),
        (WithEdges, "MaskAdapter(module, call)"),
        (ReturnsTuple, "select_output(module, 0), or 1 in place of 0"),
        (ReturnsDict, "select_output(module, 'pooled'), or 'elements' in place of 'pooled'"),
    ],
)
def test_another_convention_is_told_its_adapter_in_one_line(encoder: Callable[[int], nn.Module], adapter: str) -> None:
    with pytest.raises((BrokenPluginError, UsageError)) as caught:
        validate(encoder(3), dim_in=3, name="mine.py:Encoder", domain=Domain())
    message = str(caught.value)
    assert message.startswith("mine.py:Encoder")
    assert f"mbcbench.adapters.{adapter}" in message
    assert "\n" not in message


def test_a_module_of_pytorch_geometric_is_told_its_guide() -> None:
    with pytest.raises(BrokenPluginError, match=r"pyg\(module\) \(see the guide \"PyTorch Geometric\"\)$"):
        validate(WithBatch(3), dim_in=3, name="mine.py:Encoder", domain=Domain())


def test_an_encoding_of_integers_is_one_line() -> None:
    with pytest.raises(BrokenPluginError, match=r"returned a tensor of torch.int64; an encoding is a floating-point t"):
        validate(Counts(3), dim_in=3, name="mine.py:Encoder", domain=Domain())


def test_only_adapters_that_exist_are_named() -> None:
    names = [
        *advice.LAYOUTS,
        "pyg",
        "with_lengths",
        "inverted_mask",
        "renamed_mask",
        "MaskAdapter",
        "select_output",
        "tokens",
    ]
    assert set(names) <= set(adapters.__all__)


def test_a_wrong_width_is_not_taken_for_another_layout() -> None:
    with pytest.raises(BrokenPluginError, match=r"elements had width 3: give another with --dim-in N"):
        validate(ReturnsTuple(4), dim_in=3, name="width", domain=Domain())


def test_an_error_of_device_or_type_says_what_to_write() -> None:
    with pytest.raises(BrokenPluginError, match=r"laws run on the CPU: create tensors with x.new_zeros"):
        validate(OnAnotherDevice(3), dim_in=3, name="device", domain=Domain())
    record = Checker(Float32Inside, dim_in=3).judge("mbc.partition", BUDGET)
    assert record.status is Status.ERROR
    assert "cannot be called in float64, in which laws are decided: RuntimeError: mat1 and mat2" in record.message
    assert record.message.endswith(
        "write x.to(self.weight.dtype) in place of x.float(), and x.new_zeros(...) in place of torch.zeros(...)"
    )


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc"), SystemExit(5)], ids=repr)
def test_an_encoder_that_ends_or_runs_out_of_memory_is_called_once(error: BaseException) -> None:
    module, calls = Features(3), list[int]()

    def forward(x: Tensor) -> Tensor:
        calls.append(len(x))
        raise error

    module.forward = forward
    with pytest.raises(BrokenPluginError):
        validate(module, dim_in=3, name="it", domain=Domain())
    assert len(calls) == 1


def test_the_width_of_an_instance_is_said_with_the_layer_it_comes_from() -> None:
    module = adapters.select_output(ReturnsTuple(7), 0)
    reason = "that of its layer module.phi (Linear)"
    assert why_width(spec_from_object(module, "mean")) == reason
    assert why_width(EncoderSpec(name="class", factory=ReturnsTuple)) == ""
    result = mbcbench.check(module, laws=["hygiene.finite"], examples=4)
    note = f"elements of width 7, {reason}; dim_in=N sets another"
    assert note in repr(result)
    assert note in str(result._repr_html_())
    setattr(module, "dim_in", 7)  # noqa: B010 # nn.Module has no such attribute
    assert why_width(spec_from_object(module, "mean")) == ""


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("key_padding_mask", r"inverted_mask\(module, 'key_padding_mask'\) where it means absent"),
        ("attention_mask", r"renamed_mask\(module, 'attention_mask'\) where True means present"),
        ("index", r"pyg\(module\)"),
        ("lengths", r"with_lengths\(module, 'lengths'\)"),
    ],
)
def test_a_mask_of_another_name_is_told_how_to_be_wrapped(argument: str, hint: str) -> None:
    class Encoder(Features):
        def forward(self, x: Tensor, **others: Tensor) -> Tensor:
            out: Tensor = self.phi(x).sum(1)
            return out

    scope: dict[str, object] = {}
    exec(f"def forward(self, x, {argument}=None): return self.phi(x).sum(1)", scope)
    Encoder.forward = scope["forward"]  # type: ignore[assignment,method-assign]
    record = Checker(Encoder, dim_in=3).judge("symmetry.padding", BUDGET)
    assert record.status is Status.SKIP
    assert re.match(rf"it takes no argument `mask`; if `{argument}` .*{hint}", record.message)


def test_a_mask_among_arguments_of_any_name_is_told_how_to_be_passed_on() -> None:
    class PassesOn(Features):
        def forward(self, *sets: Tensor, **others: Tensor) -> Tensor:
            out: Tensor = self.phi(sets[0]).sum(1)
            return out

    for build in (
        PassesOn,
        lambda d: channels_first(nn.Sequential(nn.Conv1d(d, 4, 1), nn.AdaptiveMaxPool1d(1), nn.Flatten())),
    ):
        record = Checker(build, dim_in=3).judge("symmetry.padding", BUDGET)
        advice = "arguments of any name: if `mask` is one, wrap it: mbcbench.adapters.renamed_mask(module, 'mask')"
        assert record.status is Status.SKIP
        assert (advice in record.message) == (build is PassesOn)


class TrueIsPadding(Features):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        absent = torch.zeros(x.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
        features = self.phi(torch.where(absent[..., None], 0, x))
        return torch.where(absent[..., None], 0, features).sum(1)


class AddsMask(Features):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        logits = x[..., :1] if mask is None else x[..., :1].masked_fill(mask[..., None] < 0, 0) + mask[..., None]
        weights = logits.masked_fill(logits.amax(1, keepdim=True) == -torch.inf, 0).softmax(1)
        x = torch.where(weights > 0, x, 0)
        out: Tensor = (weights * self.phi(x)).sum(1)
        return out


class CountsElements(Features):
    """The mask counts elements. A mask of zero and -inf makes all encodings NaN, and they become zero."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        counts = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x.dtype)
        out: Tensor = (counts * self.phi(x)).sum(1) / counts.sum(1)
        return out.nan_to_num()


class IgnoresMask(Features):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out: Tensor = self.phi(x).sum(1)
        return out


def adapted(dim_in: int) -> nn.Module:
    """An encoder whose adapter has the mask the wrong way round."""
    return MaskAdapter(TrueIsPadding(dim_in), lambda module, x, mask: module(x, mask=mask))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (adapted, "padding changes the encoding, with finite values too"),
        (TrueIsPadding, "it holds with mbcbench.adapters.inverted_mask(module): wrap it if `mask` has that meaning"),
        (AddsMask, "it holds with mbcbench.adapters.additive_mask(module): wrap it if `mask` has that meaning"),
        (
            CountsElements,
            "finite padding is fine, but NaN or infinity in padding reaches the encoding (0 x NaN is NaN)",
        ),
        (IgnoresMask, "padding changes the encoding, with finite values too"),
    ],
)
def test_a_mask_that_fails_comes_with_the_adapter_under_which_it_holds(
    encoder: Callable[[int], nn.Module], message: str
) -> None:
    record = Checker(encoder, dim_in=3).judge("symmetry.padding", BUDGET)
    assert record.status is Status.FAIL
    assert record.message.removesuffix(f" ({ADAPTERS_GUIDE})") == message


class CharacteristicFunction(Features):
    def forward(self, x: Tensor) -> Tensor:
        angle = self.phi(x)
        return torch.polar(torch.ones_like(angle), angle).mean(1)


def test_a_complex_encoding_is_refused_with_a_line_that_says_how_to_return_it() -> None:
    message = r"a tensor of torch.complex64; .*: return its real and imaginary parts, torch.view_as_real\(encoding\)"
    with pytest.raises(BrokenPluginError, match=message):
        mbcbench.check(CharacteristicFunction, dim_in=3, examples=16)
