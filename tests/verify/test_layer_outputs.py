"""Outputs of layers: along which axes they have elements, and what that means for the laws."""

import torch
from torch import Tensor

from mbcbench.records.record import Status
from tests.controls.base import WIDTH, hide
from tests.controls.masks import TightLayer
from tests.controls.sizes import SetFunction
from tests.controls.symmetry import ClassToken, Layer
from tests.verify.helpers import results


class Triples(Layer):
    """A layer with an output for each three elements, `B x n x n x n`."""

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x).sum(2)
        return (h[:, :, None, None] + 2 * h[:, None, :, None] * h[:, None, None, :]).tanh()


class OrderedTriples(Triples):
    """Its faulty twin: the output of three elements is zero if the second comes after the third."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).triu()


def test_outputs_of_triples_are_permuted_along_all_axes() -> None:
    (sound,), (faulty,) = (results(encoder, "symmetry.elements") for encoder in (Triples, OrderedTriples))
    assert (sound.status, faulty.status) == (Status.PASS, Status.FAIL)


class Distances(SetFunction):
    """All distances between two elements, sorted: `B x n (n - 1) / 2`."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < 2:
            raise ValueError("a set has two elements or more")
        h, (i, j) = self.phi(x), torch.triu_indices(x.shape[1], x.shape[1], 1)
        distances: Tensor = (h[:, i] - h[:, j]).abs().sum(2)
        return distances.sort(1).values


def test_encodings_of_other_shapes_are_not_subtracted() -> None:
    elements, attention, interactions = results(
        Distances, "substance.elements", "substance.attention", "substance.interactions"
    )
    assert (elements.status, attention.status, interactions.status) == (Status.PASS, Status.PASS, Status.SKIP)
    assert interactions.message.startswith("sets of different sizes have encodings of different shapes")


class MaskedChannelsFirst(TightLayer):
    """A layer with a mask that returns `B x d x n`."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).transpose(1, 2)


def test_a_layer_with_another_layout_is_not_taken_for_an_encoder_of_sets() -> None:
    permutation, padding = results(MaskedChannelsFirst, "symmetry.permutation", "symmetry.padding")
    assert permutation.message == f"it is a set-to-set layer: its output is B x {WIDTH} x n"
    assert padding.status is Status.SKIP
    assert "select_output(module, lambda out: out.transpose(1, 2))" in padding.message
    (tokens,) = results(ClassToken, "symmetry.permutation")
    assert tokens.message == f"it is a set-to-set layer: its output is B x (n + 1) x {WIDTH}"


def test_a_layer_is_no_stream_of_chunks() -> None:
    on_partition, on_large = results(TightLayer, "mbc.partition", "mbc.large")
    assert (on_partition.status, on_large.status) == (Status.SKIP, Status.SKIP)
    assert on_partition.message == on_large.message == "it is a set-to-set layer: one output per element"


class MaskedSpectrum(SetFunction):
    """Features of all elements, sorted; zeros for absent ones come last."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        features = self.phi(hide(x, mask)).tanh() + 2
        return hide(features, mask).sort(1, descending=True).values


class LeakySpectrum(MaskedSpectrum):
    """Its faulty twin: features of padding are sorted too."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(hide(x, mask))


class MaskedDistances(Distances):
    """Distances of which those of absent elements are zeros, at the end."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(hide(x, mask))


def test_sorted_outputs_of_padding_come_last() -> None:
    (sound,), (faulty,) = (results(encoder, "symmetry.padding") for encoder in (MaskedSpectrum, LeakySpectrum))
    assert (sound.status, faulty.status) == (Status.PASS, Status.FAIL)


def test_padding_that_changes_the_shape_of_an_encoding_cannot_be_compared() -> None:
    (padding,) = results(MaskedDistances, "symmetry.padding")
    assert padding.status is Status.SKIP
    assert padding.message.startswith("sets of different sizes have encodings of different shapes")
