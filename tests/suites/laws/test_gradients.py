"""What the laws of gradients through streams compare, and what they say."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import gradients
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import KINDS, Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from tests.controls.base import WIDTH as FEATURES
from tests.controls.base import Mean, Slots, Softmax, Sum, Sums
from tests.controls.gradients import (
    DetachedState,
    GradientDecays,
    GraphFollowsState,
    LearnedStart,
    ParameterGradientOfFirstChunk,
)
from tests.controls.masks import TightLayer
from tests.suites.laws.masked_streams import Remembers, data_of
from tests.verify.helpers import WIDTH, holds, subject_of
from tests.verify.test_law_conditions import Gates, StateThatGrowsOnce
from tests.verify.test_law_edges import SumOfChunkMeans


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


# ---- the loss and its gradients


def test_the_loss_is_a_linear_function_of_the_encoding_and_the_same_for_every_set() -> None:
    data, other = data_of(2, seed=4), data_of(2, seed=5)
    encoding = torch.randn(3, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        leaf = encoding.clone().requires_grad_()
        (weight,) = torch.autograd.grad(gradients.linear_loss(leaf, data), leaf)
    assert torch.equal(weight, weight[:1].expand(3, -1, -1))
    assert len(set(weight[0].flatten().tolist())) == 8
    assert float(gradients.linear_loss(encoding, data)) == pytest.approx(float((encoding * weight).sum()))
    assert float(gradients.linear_loss(encoding, data)) == float(gradients.linear_loss(encoding, data))
    assert float(gradients.linear_loss(encoding, data)) != float(gradients.linear_loss(encoding, other))
    in_float32 = gradients.linear_loss(encoding.float(), data)
    assert in_float32.dtype == torch.float32
    assert float(in_float32) == pytest.approx(float(gradients.linear_loss(encoding, data)), rel=1e-4)


def test_the_gradient_is_none_where_a_loss_depends_on_no_leaf() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    used.grad = torch.full((2,), 7.0)
    with torch.enable_grad():
        loss = (3 * used).sum()
    of_used, of_unused = gradients.gradients_of(loss, [used, unused])
    assert of_used is not None
    assert of_used.tolist() == [3.0, 3.0]
    assert of_unused is used.grad is unused.grad is None
    assert gradients.gradients_of(loss.detach(), [used, unused]) == [None, None]


class Linear(nn.Module):
    """A sum of linear features, beside a parameter that has no part in it and one that is not trained."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(2))
        self.phi = nn.Linear(dim_in, FEATURES, bias=False)
        self.frozen = nn.Parameter(torch.ones(5), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x).sum(1)
        return out


def test_gradients_for_elements_come_before_those_for_parameters() -> None:
    module, data = subject_of(Linear).module, data_of(2, 1)
    found = gradients._gradients(module, data.x, lambda encode, x: encode(x), data)
    with torch.enable_grad():
        leaf = torch.zeros(1, FEATURES, dtype=torch.float64).requires_grad_()
        (weight,) = torch.autograd.grad(gradients.linear_loss(leaf, data), leaf)
    on_elements, on_unused, on_phi = torch.split(found, [3 * WIDTH, 2, FEATURES * WIDTH], 1)
    assert torch.allclose(on_elements, (weight @ module.phi.weight).repeat(3, 3))
    assert on_unused.tolist() == [[0.0, 0.0]] * 3
    assert torch.allclose(on_phi, torch.outer(weight[0], data.x.sum((0, 1))).flatten().expand(3, -1))
    module.requires_grad_(False)
    frozen = gradients._gradients(module, data.x, lambda encode, x: encode(x), data)
    assert torch.allclose(frozen, on_elements)


# ---- verdicts


class Detached(Mean):
    """Has no gradient in a stream."""

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).detach()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().readout(self.update(self.init_state(len(x)), x, mask))


class DetachedWhole(Mean):
    """Has no gradient for a set in one piece."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).detach()


class GatesDetached(Detached, Gates):
    """Has no gradient in a stream, and one that is zero in part for a set in one piece."""


class GatesDetachedWhole(DetachedWhole, Gates):
    """Has no gradient for a set in one piece, and one that is zero in part in a stream."""


@pytest.mark.parametrize("sizes", [(3,), (2, 1), (1, 2, 1)])
def test_the_gradient_through_a_stream_is_that_of_the_set(sizes: tuple[int, ...]) -> None:
    for sound in (Mean, Softmax, Slots, LearnedStart, Gates):
        assert holds(gradients.check_gradient(subject_of(sound), data_of(*sizes)))
        assert holds(gradients.check_partial_gradient(subject_of(sound), data_of(*sizes)))
    for faulty in (Detached, DetachedWhole, GatesDetached, GatesDetachedWhole):
        comparison = gradients.check_gradient(subject_of(faulty), data_of(*sizes))
        assert not holds(comparison)
        assert comparison.note == ""
    for between_chunks in (DetachedState, GradientDecays):
        assert holds(gradients.check_gradient(subject_of(between_chunks), data_of(*sizes))) == (len(sizes) == 1)
    later = holds(gradients.check_partial_gradient(subject_of(GraphFollowsState), data_of(*sizes)))
    assert later == (len(sizes) == 1)


class Constant(Mean):
    """Multiplies its encoding by zero."""

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * 0


class Copied(Mean):
    def readout(self, state: Any) -> Tensor:
        return super().readout(state).detach()


class CopiedUntrained(Copied):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.requires_grad_(False)


def test_an_encoder_with_parameters_has_a_gradient() -> None:
    for check in (gradients.check_gradient, gradients.check_partial_gradient):
        comparison = check(subject_of(Copied), data_of(2, 1))
        assert comparison.gap.tolist() == [torch.inf] * 3
        assert comparison.note == "no gradient reaches the elements or any trainable parameter"
        with pytest.raises(NotApplicable, match=r"^no gradient reaches the elements$"):
            check(subject_of(CopiedUntrained), data_of(2, 1))
        with pytest.raises(NotApplicable, match=r"^no gradient reaches the elements or a parameter$"):
            check(subject_of(Constant), data_of(2, 1))


# ---- gradients through one chunk at a time


class LearnedReadout(Sum):
    """Adds a learned vector and scales by another, in the read-out."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.offset, self.scale = nn.Parameter(torch.randn(FEATURES)), nn.Parameter(torch.randn(FEATURES))

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * self.scale + self.offset


class TwoStarts(LearnedStart):
    """Keeps a second learned vector that the encoding does not depend on."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.other = nn.Parameter(torch.randn(1))

    def init_state(self, batch_size: int) -> Any:
        return {"sums": super().init_state(batch_size), "other": self.other.expand(batch_size)}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return {"sums": super().update(state["sums"], x, mask), "other": state["other"] + 1}

    def readout(self, state: Any) -> Tensor:
        return super().readout(state["sums"])


class SlotsWithStart(Slots):
    """Passes its learned slots on as they are, and adds chunks to a learned total."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(total=state.total + 0.1 * self.slots)


class NeedsGraphOfSlots(SlotsWithStart):
    """Halves the gradient of a chunk if the slots have none."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        return new if state.slots.requires_grad else new._replace(total=new.total / 2 + new.total.detach() / 2)


@pytest.mark.parametrize("encoder", [LearnedReadout, TwoStarts, SlotsWithStart, StateThatGrowsOnce, NeedsGraphOfSlots])
@pytest.mark.parametrize("sizes", [(3,), (1, 2, 1)])
def test_learned_starts_and_read_outs_count_once(encoder: type[nn.Module], sizes: tuple[int, ...]) -> None:
    assert holds(gradients.check_partial_gradient(subject_of(encoder), data_of(*sizes)))


class DoublesGradientOfStart(LearnedStart):
    """Doubles the gradient of the start in a stream of several chunks."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if bool(state.number.any()):
            state = state._replace(total=state.total + self.start - self.start.detach())
        return super().update(state, x, mask)


def test_a_wrong_gradient_of_a_learned_start_is_noticed() -> None:
    assert holds(gradients.check_partial_gradient(subject_of(DoublesGradientOfStart), data_of(3)))
    assert not holds(gradients.check_partial_gradient(subject_of(DoublesGradientOfStart), data_of(2, 1)))


@pytest.mark.parametrize(
    ("encoder", "leaves"),
    [
        (Mean, []),
        (Slots, []),
        (LearnedStart, [0]),
        (TwoStarts, [0, 2]),
        (SlotsWithStart, [1]),
        (StateThatGrowsOnce, [0]),
    ],
)
def test_leaves_to_which_chunks_are_added_lose_the_graph_of_the_start(
    encoder: type[nn.Module], leaves: list[int]
) -> None:
    data = data_of(2)
    assert gradients._cut_leaves(subject_of(encoder).module, data.x, data) == leaves


@pytest.mark.parametrize("number", [0, 1, 2, None])
def test_the_chunk_with_a_graph_is_fed_last(number: int | None) -> None:
    data, module = data_of(1, 2, 3), subject_of(Remembers).module
    with torch.enable_grad():
        x = data.x.clone().requires_grad_()
        state = gradients._state_with_graph_through(module, x, number, data, [])
        assert [chunk.shape[1] for chunk, _ in module.seen] == {
            0: [2, 3, 1], 1: [1, 3, 2], 2: [1, 2, 3], None: [1, 2, 3]
        }[number]  # fmt: skip
        assert [chunk.requires_grad for chunk, _ in module.seen] == [False, False, number is not None]
        assert state.total.requires_grad == (number is not None)
    assert state.number.tolist() == [6, 6, 6]


# ---- the culprit, and where the laws apply


@pytest.mark.parametrize("law_id", ["mbc.gradient", "mbc.partial_gradient"])
def test_the_parameter_with_the_wrong_gradient_is_named(law_id: str) -> None:
    locate, data = get_law(law_id).locate, data_of(2, 1, batch_size=1)
    assert locate is not None
    assert locate(subject_of(ParameterGradientOfFirstChunk), data).startswith("parameter phi.")
    assert locate(subject_of(SumOfChunkMeans), data) == "state.total differs"
    assert locate(subject_of(), data) == ""


class WrongOnlyByChunks(Sum):
    """Has a wrong gradient for its parameters if the state before a chunk has none."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        total, number = self.part(x, mask)
        if bool(state.number.any()) and not state.total.requires_grad:
            total = total - self.phi.bias + self.phi.bias.detach()
        return self.add(state, Sums(total, number))


def test_each_law_of_gradients_names_what_breaks_it() -> None:
    data = data_of(2, 1, batch_size=1)
    assert gradients.locate_gradient(subject_of(WrongOnlyByChunks), data) == ""
    named = gradients.locate_partial_gradient(subject_of(WrongOnlyByChunks), data)
    assert named.startswith("parameter phi.bias: its gradient is off by ")


def test_the_laws_of_gradients_are_tried_on_streams_without_ties() -> None:
    in_order = subject_of(domain=Domain(order_sensitive=True))
    for law_id in ("mbc.gradient", "mbc.partial_gradient"):
        law = get_law(law_id)
        assert law.unmet_requirement(subject_of()) is None
        reason = law.unmet_requirement(subject_of(TightLayer))
        assert reason == "it does not stream: no init_state, update and readout"
        kinds = {KINDS[kind][0] for kind in law.kinds}
        assert not kinds & {"small integers", "constant", "zero rows", "duplicates", "sparse"}
        assert "normal" in kinds
    assert get_law("mbc.gradient").unmet_requirement(in_order) is None
    reason = get_law("mbc.partial_gradient").unmet_requirement(in_order)
    assert reason == "it reads the elements in order, as it declares"


def test_elements_of_a_batch_are_streamed_in_their_order_of_arrival() -> None:
    data = ExampleData(Example(sizes=(1, 2), kinds=(0, 3), arrangement="reversed", seed=2), WIDTH)
    assert holds(gradients.check_partial_gradient(subject_of(), data))
