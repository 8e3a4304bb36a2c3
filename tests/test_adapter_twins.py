"""Through an adapter, a sound encoder keeps a law, and its faulty twin breaks it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench import adapters
from mbcbench.errors import BrokenPluginError, UsageError
from mbcbench.protocol.encoder import takes_mask
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.domain import Domain, declared_domain
from mbcbench.verify.example import ALL_KINDS, Example, ExampleData
from mbcbench.verify.law import get_law

BUDGET = Budget(examples=200)
Factory = Callable[[int], nn.Module]


class Twin(nn.Module):
    """Features of elements, and whether the encoder has its fault."""

    def __init__(self, dim_in: int, *, faulty: bool = False) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(dim_in, 4), nn.Tanh())
        self.faulty = faulty

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x)
        return out


def by_position(x: Tensor, dim: int) -> Tensor:
    """Return the sum over a dimension, in which the first entry counts twice."""
    return x.sum(dim) + x.select(dim, 0)


class ChannelsFirst(Twin):
    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x.transpose(1, 2))
        return by_position(features, 1) if self.faulty else features.sum(1)


class SequenceFirst(Twin):
    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        return by_position(features, 0) if self.faulty else features.sum(0)


class OneSet(Twin):
    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        out = self.features(x).sum(0)
        if self.faulty and self.last is not None:
            out = out + self.last
        self.last = out.detach() / 2
        return out


class ListOfSets(Twin):
    """The faulty one pads with zeros, and takes them for elements."""

    def forward(self, sets: list[Tensor]) -> Tensor:
        if not self.faulty:
            return torch.stack([self.features(elements).sum(0) for elements in sets])
        return self.features(nn.utils.rnn.pad_sequence(sets, batch_first=True)).sum(1)


class Nested(Twin):
    def forward(self, sets: Tensor) -> Tensor:
        parts = [self.features(elements) for elements in sets.unbind()]
        shift = torch.cat(parts).mean(0) if self.faulty else torch.zeros(4, dtype=parts[0].dtype)
        return torch.stack([features.sum(0) + shift for features in parts])


class ByBatch(Twin):
    """The faulty one takes a softmax over all sets."""

    def forward(self, x: Tensor, batch: Tensor, size: int | None = None) -> Tensor:
        features = self.features(x)
        size = int(batch.max()) + 1 if size is None else size
        out = features.new_zeros(size, 4).index_add(0, batch, features.exp())
        return out / features.exp().sum(0) if self.faulty else out


class ByBatchOnly(ByBatch):
    def forward(self, x: Tensor, batch: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, batch)


class ByPointer(Twin):
    """The faulty one reads one element of the next set."""

    def forward(self, x: Tensor, ptr: Tensor) -> Tensor:
        features = self.features(x)
        ends = ptr[1:] + 1 if self.faulty else ptr[1:]
        return torch.stack([features[a:b].sum(0) for a, b in zip(ptr[:-1], ends, strict=True)])


class Lengths(Twin):
    """The faulty one divides by the padded size."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        present = torch.arange(x.shape[1]) < lengths[:, None]
        total = masked_sum(self, x, present)
        return total / (x.shape[1] if self.faulty else lengths.clamp(min=1)[:, None])


class PresentFirst(Twin):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n = mask.sum(1)
        present = torch.arange(x.shape[1]) < (n + 1 if self.faulty else n)[:, None]
        return masked_sum(self, x, present)


class Attention(Twin):
    """A mask of 1 where an element is present."""

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        absent = 1 - attention_mask
        return self.features(x).sum(1) if self.faulty else masked_sum(self, x, absent == 0)


class Absent(Twin):
    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        if key_padding_mask is None or self.faulty:
            return self.features(x).sum(1)
        return masked_sum(self, x, ~key_padding_mask)


class Additive(Twin):
    """The faulty one divides by the sum of weights without the mask."""

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = torch.where(bias[..., None] < 0, 0, x)
        logits = self.features(x)[..., :1]
        weights = (logits + bias[..., None]).exp()
        total = (logits if self.faulty else logits + bias[..., None]).exp().sum(1)
        return (weights * self.features(x)).sum(1) / total.clamp(min=1e-9)


class Outputs(Twin):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        return {"elements": features, "pooled": by_position(features, 1) if self.faulty else features.sum(1)}


class Words(nn.Module):
    """The faulty one takes token 0 for padding."""

    def __init__(self, *, faulty: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 4, padding_idx=0 if faulty else None)
        self.faulty = faulty

    def forward(self, words: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(words)
        # Parameters get noise, also those of the padding.
        return (embedded * (words != 0)[..., None] if self.faulty else embedded).sum(1)


class Metric(nn.Module):
    """A mean of one set; the faulty one forgets to merge the count."""

    def __init__(self, dim_in: int, *, faulty: bool = False) -> None:
        super().__init__()
        self.dim_in, self.faulty = dim_in, faulty
        self.reset()

    def reset(self) -> None:
        self.total, self.count = torch.zeros(self.dim_in, dtype=torch.float64), 0

    def update(self, elements: Tensor) -> None:
        self.total = self.total.to(elements.dtype) + elements.sum(0)
        self.count += len(elements)

    def merge_state(self, other: dict[str, Any]) -> None:
        self.total = self.total + other["total"]
        self.count += 0 if self.faulty else other["count"]

    def compute(self) -> Tensor:
        return self.total / max(self.count, 1)


def masked_sum(twin: Twin, x: Tensor, present: Tensor) -> Tensor:
    features = twin.features(torch.where(present[..., None], x, 0))
    return torch.where(present[..., None], features, 0).sum(1)


def metric(dim_in: int, *, faulty: bool) -> nn.Module:
    stream = adapters.MergingStatefulAdapter(
        Metric(dim_in, faulty=faulty),
        ["total", "count"],
        update=lambda module, x: module.update(x[0]),
        readout=lambda module: module.compute()[None],
    )
    return adapters.MergingStreamByStreamAdapter(stream)


CASES: dict[str, tuple[Callable[[int, bool], nn.Module], str]] = {
    "channels_first": (lambda d, f: adapters.channels_first(ChannelsFirst(d, faulty=f)), "symmetry.permutation"),
    "sequence_first": (lambda d, f: adapters.sequence_first(SequenceFirst(d, faulty=f)), "symmetry.permutation"),
    "set_by_set": (lambda d, f: adapters.set_by_set(OneSet(d, faulty=f)), "hygiene.determinism"),
    "list_of_sets": (lambda d, f: adapters.list_of_sets(ListOfSets(d, faulty=f)), "symmetry.padding"),
    "nested": (lambda d, f: adapters.nested(Nested(d, faulty=f)), "symmetry.batch"),
    "pyg with batch": (lambda d, f: adapters.pyg(ByBatch(d, faulty=f)), "symmetry.batch"),
    "pyg with batch only": (lambda d, f: adapters.pyg(ByBatchOnly(d, faulty=f)), "symmetry.batch"),
    "pyg with ptr": (lambda d, f: adapters.pyg(ByPointer(d, faulty=f)), "symmetry.batch"),
    "with_lengths": (lambda d, f: adapters.with_lengths(Lengths(d, faulty=f)), "symmetry.padding"),
    "compacted": (lambda d, f: adapters.compacted(PresentFirst(d, faulty=f)), "symmetry.padding"),
    "renamed_mask": (
        lambda d, f: adapters.renamed_mask(Attention(d, faulty=f), "attention_mask", dtype=torch.int64),
        "symmetry.padding",
    ),
    "inverted_mask": (lambda d, f: adapters.inverted_mask(Absent(d, faulty=f), "key_padding_mask"), "symmetry.padding"),
    "additive_mask": (lambda d, f: adapters.additive_mask(Additive(d, faulty=f), "bias"), "symmetry.padding"),
    "select_output": (lambda d, f: adapters.select_output(Outputs(d, faulty=f), "pooled"), "symmetry.permutation"),
    "tokens": (lambda d, f: adapters.tokens(Words(faulty=f), 20), "substance.elements"),
    "merging streams": (lambda d, f: metric(d, faulty=f), "mbc.merge"),
}


def status(encoder: Factory, law: str, dim_in: int = 3) -> Status:
    return Checker(EncoderSpec(name="twin", factory=encoder), dim_in=dim_in).try_law(get_law(law), BUDGET).status


@pytest.mark.parametrize("name", CASES)
def test_a_sound_twin_keeps_the_law_that_its_faulty_twin_breaks(name: str) -> None:
    build, law = CASES[name]
    dim_in = 1 if name == "tokens" else 3
    assert status(lambda d: build(d, False), law, dim_in) is Status.PASS
    assert status(lambda d: build(d, True), law, dim_in) is Status.FAIL


def test_a_mask_adapter_goes_around_one_of_layout_and_not_inside() -> None:
    class Masked(Twin):
        def forward(self, x: Tensor, key_padding_mask: Tensor) -> Tensor:
            return masked_sum(self, x.transpose(1, 2), ~key_padding_mask)

    def build(dim_in: int) -> nn.Module:
        return adapters.inverted_mask(adapters.channels_first(Masked(dim_in)), "key_padding_mask")

    assert status(build, "symmetry.padding") is Status.PASS
    with pytest.raises(UsageError, match="a mask adapter goes around one of layout"):
        adapters.channels_first(adapters.inverted_mask(Masked(3), "key_padding_mask"))


def test_an_adapter_takes_a_mask_if_its_encoder_does() -> None:
    assert takes_mask(adapters.channels_first(PresentFirst(3)))
    assert not takes_mask(adapters.channels_first(ChannelsFirst(3)))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Linear(3, 4),
            r"Linear: forward takes none of index, batch, ptr, so pyg is the wrong adapter: .*\"Encoders of other conv",
        ),
        (
            type("Edges", (nn.Module,), {"forward": lambda self, x, edges, batch: x})(),
            r"Edges: forward needs edges too; use MaskAdapter \(see the guide \"PyTorch Geometric\"\)",
        ),
    ],
)
def test_pyg_names_what_it_does_not_know(module: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        adapters.pyg(module)


def test_an_error_inside_an_adapted_encoder_is_not_taken_for_missing_arguments() -> None:
    class OptionalMask(nn.Module):
        def forward(self, X: Tensor, mask: Tensor | None = None) -> tuple[Tensor]:
            return (X.sum(1).masked_fill(~mask.any(1, keepdim=True), 0),)  # type: ignore[union-attr]

    with pytest.raises(BrokenPluginError, match="has no attribute 'any'") as error:
        mbcbench.check(adapters.select_output(OptionalMask(), 0), dim_in=3)
    assert "forward needs" not in str(error.value)


def test_lengths_may_be_fractions_of_the_padded_length() -> None:
    class Relative(Twin):
        def forward(self, x: Tensor, wav_lens: Tensor) -> Tensor:
            present = torch.arange(x.shape[1]) < (wav_lens * x.shape[1]).round()[:, None]
            return masked_sum(self, x, present)

    assert (
        status(lambda d: adapters.with_lengths(Relative(d), "wav_lens", relative=True), "symmetry.padding")
        is Status.PASS
    )


def test_outputs_of_a_layer_are_moved_back_to_their_elements() -> None:
    class Gate(Twin):
        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            present = torch.arange(x.shape[1]) < lengths[:, None]
            return self.features(x) * masked_sum(self, x, present)[:, None]

    for layer, expected in ((True, Status.PASS), (False, Status.FAIL)):

        def build(dim_in: int, layer: bool = layer) -> nn.Module:
            return adapters.with_lengths(Gate(dim_in), layer=layer)

        assert status(build, "symmetry.padding") is expected


def test_a_layer_of_pytorch_geometric_keeps_its_rows() -> None:
    class Centre(nn.Module):
        def forward(self, x: Tensor, batch: Tensor) -> Tensor:
            size = int(batch.max()) + 1
            total = x.new_zeros(size, x.shape[1]).index_add(0, batch, x)
            return x - (total / batch.bincount(minlength=size)[:, None])[batch]

    for law in ("symmetry.elements", "symmetry.padding"):
        assert status(lambda d: adapters.pyg_layer(Centre()), law) is Status.PASS


def test_what_an_encoder_admits_can_be_declared_from_outside() -> None:
    module = adapters.declare(adapters.channels_first(ChannelsFirst(3)), order_sensitive=True, min_size=2)
    domain = declared_domain(EncoderSpec(name="module", factory=ChannelsFirst), module, 3)
    assert (domain.order_sensitive, domain.min_size) == (True, 2)
    with pytest.raises(UsageError, match="declare\\(ordered=True\\): expected one of dim_in, min_size"):
        adapters.declare(module, ordered=True)


def test_what_an_encoder_declares_is_passed_on_by_adapters() -> None:
    module = adapters.inverted_mask(adapters.tokens(Words(), 20), "key_padding_mask")
    domain = declared_domain(EncoderSpec(name="words", factory=Words), adapters.tokens(Words(), 20), 1)
    assert (domain.vocabulary, domain.finite_only) == (20, True)
    assert declared_domain(EncoderSpec(name="words", factory=Words), module, 1) == domain


def test_tokens_are_drawn_from_the_vocabulary() -> None:
    example = Domain(vocabulary=7).fit(Example(sizes=(40,), kinds=ALL_KINDS, seed=1))
    assert Example.from_json(example.to_json()) == example
    x = ExampleData(example, 1).x
    assert set(x.flatten().tolist()) == set(range(7))


def test_tokens_are_not_scaled() -> None:
    result = Checker(lambda dim_in: adapters.tokens(Words(), 20), dim_in=1).try_law(get_law("numerics.scale"), BUDGET)
    assert (result.status, result.message) == (Status.SKIP, "its elements are tokens, as it declares")


def test_tokens_have_width_one() -> None:
    with pytest.raises(UsageError, match="a token is one number, not 3: give --dim-in 1"):
        Checker(lambda dim_in: adapters.tokens(Words(), 20), dim_in=3).validate()
