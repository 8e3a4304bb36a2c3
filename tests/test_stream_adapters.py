"""Adapters of streams: steps of other names, states on the module, and adapters around them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.adapters import (
    MaskAdapter,
    MergingStepsAdapter,
    MergingStreamByStreamAdapter,
    StatefulAdapter,
    StepsAdapter,
    StreamByStreamAdapter,
    channels_first,
    inverted_mask,
    select_output,
    set_by_set,
    tokens,
)

STREAMS = ["mbc.partition", "mbc.order", "mbc.fork", "mbc.resume", "mbc.gradient"]


class Running(nn.Module):
    """A mean whose state is kept on the module, with `reset`, `update` and `compute`."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)
        self.total: Any = 0.0
        self.count = 0

    def reset(self) -> None:
        self.total, self.count = self.project.weight.new_zeros(()), 0

    def update(self, x: Tensor) -> None:
        self.total = self.total + torch.tanh(self.project(x)).sum(1)
        self.count += x.shape[1]

    def compute(self) -> Tensor:
        out: Tensor = self.total / max(self.count, 1)
        return out


class InPlace(Running):
    """The same, updated in place."""

    def reset(self) -> None:
        self.total, self.count = self.project.weight.new_zeros(1, 4), 0

    def update(self, x: Tensor) -> None:
        features = torch.tanh(self.project(x)).sum(1)
        self.total = self.total.expand_as(features).clone()
        self.total += features
        self.count += x.shape[1]


class OtherWords(nn.Module):
    """A sum whose state is a dict, with steps of other names."""

    def __init__(self, dim_in: int, *, exact: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)
        self.exact = exact

    def begin(self, batch_size: int) -> dict[str, Tensor]:
        return {"total": self.project.weight.new_zeros(batch_size, 4)}

    def step(self, x: Tensor, memory: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"total": memory["total"] + torch.tanh(self.project(x)).sum(1)}

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.tanh(self.project(x)).sum(1)
        return whole if self.exact else whole + 1e-6


def steps(module: nn.Module, **more: Callable[..., Any]) -> StepsAdapter:
    adapter = MergingStepsAdapter if "merge" in more else StepsAdapter
    return adapter(
        module,
        init_state=lambda m, batch_size: m.begin(batch_size),
        update=lambda m, state, x: m.step(x, state),
        readout=lambda m, state: state["total"],
        **more,
    )


def status(result: mbcbench.CheckResult) -> dict[str, str]:
    return dict(zip(result["case"], result["status"], strict=True))


@pytest.mark.parametrize("encoder", [Running, InPlace])
def test_a_state_kept_on_the_module_is_carried_as_a_value(encoder: type[Running]) -> None:
    result = mbcbench.check(lambda d: StatefulAdapter(encoder(d), ["total", "count"]), laws=STREAMS, examples=100)
    assert set(result["status"]) == {"pass"}


class DetachedRunning(Running):
    """The same, but the graph is cut before each chunk."""

    def update(self, x: Tensor) -> None:
        self.total = self.total.detach()
        super().update(x)


def test_a_state_kept_on_the_module_keeps_its_graph() -> None:
    running, plain = Running(3), Running(3)
    plain.load_state_dict(running.state_dict())
    module = StatefulAdapter(running, ["total", "count"])
    x = torch.randn(2, 5, 3)
    state = module.update(module.update(module.init_state(2), x[:, :2]), x[:, 2:])
    module.readout(state).sum().backward()  # type: ignore[no-untyped-call]
    torch.tanh(plain.project(x)).mean(1).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(running.project.weight.grad, plain.project.weight.grad)


def test_a_graph_that_is_cut_between_chunks_is_found_through_the_adapter() -> None:
    laws = ["mbc.gradient", "substance.parameters"]
    result = mbcbench.check(lambda d: StatefulAdapter(DetachedRunning(d), ["total", "count"]), laws=laws, examples=100)
    assert status(result) == {"mbc.gradient": "fail", "substance.parameters": "pass"}


def test_a_field_that_is_left_out_breaks_mbc_fork() -> None:
    result = mbcbench.check(lambda d: StatefulAdapter(Running(d), ["total"]), laws=["mbc.fork"], examples=100)
    assert not result.ok


def test_steps_of_other_names_are_a_stream() -> None:
    result = mbcbench.check(lambda d: steps(OtherWords(d)), laws=[*STREAMS, "mbc.merge"], examples=100)
    assert status(result) == {**dict.fromkeys(STREAMS, "pass"), "mbc.merge": "skip"}


def test_a_merge_is_used_if_there_is_one() -> None:
    def build(dim_in: int) -> nn.Module:
        return steps(OtherWords(dim_in), merge=lambda m, a, b: {"total": a["total"] + b["total"]})

    assert status(mbcbench.check(build, laws=["mbc.merge"], examples=100)) == {"mbc.merge": "pass"}


def test_the_modules_own_forward_is_compared_with_the_stream() -> None:
    def build(dim_in: int) -> nn.Module:
        return steps(OtherWords(dim_in, exact=False), forward=lambda m, x: m(x))

    assert status(mbcbench.check(build, laws=["mbc.partition"], examples=100)) == {"mbc.partition": "fail"}


class Metric:
    """A running mean that is not a module and holds one stream."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = torch.zeros(3, dtype=torch.float64), 0

    def update(self, elements: Tensor) -> None:
        self.total = self.total + elements.sum(0)
        self.count += len(elements)

    def compute(self) -> Tensor:
        return self.total / max(self.count, 1)


def test_an_object_that_is_no_module_can_be_adapted() -> None:
    stream = StatefulAdapter(
        Metric(),  # type: ignore[arg-type]
        ["total", "count"],
        update=lambda metric, x: metric.update(x[0]),
        readout=lambda metric: metric.compute()[None],
    )
    result = mbcbench.check(StreamByStreamAdapter(stream), laws=STREAMS, dim_in=3, examples=16)
    assert result.ok, repr(result)


class MaskInUpdate(nn.Module):
    """A sum that streams masked chunks; `forward` takes whole sets only."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)

    def init_state(self, batch_size: int) -> Tensor:
        return self.project.weight.new_zeros(batch_size, 4)

    def update(self, state: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        terms = torch.tanh(self.project(x))
        return state + (terms if mask is None else torch.where(mask[..., None], terms, 0)).sum(1)

    def readout(self, state: Tensor) -> Tensor:
        return state

    def forward(self, x: Tensor) -> Tensor:
        return self.update(self.init_state(len(x)), x)


def test_a_stream_may_take_a_mask_that_forward_does_not() -> None:
    laws = ["symmetry.padding", "hygiene.inputs", "numerics.float32", "mbc.mask"]
    assert mbcbench.check(MaskInUpdate, laws=laws, examples=16)["status"].eq("pass").all()


class SignedCounts(nn.Module):
    """Signed hashes of words, counted, with a mask in update, and no `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(8))

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(batch_size, 8, dtype=torch.int64), torch.zeros(batch_size, dtype=torch.int64)

    def update(self, state: Any, words: Tensor, mask: Tensor | None = None) -> Any:
        present = torch.ones_like(words) if mask is None else mask.long()
        return state[0].scatter_add(1, words * 3 % 8, present * (words % 2 * 2 - 1)), state[1] + present.sum(1)

    def merge(self, a: Any, b: Any) -> Any:
        return a[0] + b[0], a[1] + b[1]

    def readout(self, state: Any) -> Tensor:
        number: Tensor = state[1].clamp(min=1).unsqueeze(1)
        out: Tensor = self.gain * state[0] / number.to(self.gain.dtype).sqrt()
        return out


class MergeForgetsCount(SignedCounts):
    def merge(self, a: Any, b: Any) -> Any:
        return a[0] + b[0], a[1]


class MaskInUpdateByChannel(MaskInUpdate):
    """Reads `B x d x n`."""

    def update(self, state: Tensor, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().update(state, x.transpose(1, 2), mask)


def test_an_adapter_of_the_input_keeps_the_methods_of_a_stream() -> None:
    laws = ["mbc.partition", "mbc.merge", "mbc.mask", "mbc.resume", "symmetry.padding", "symmetry.permutation"]
    assert mbcbench.check(tokens(SignedCounts(), 50), laws=laws, examples=16)["status"].eq("pass").all()
    wrong = mbcbench.check(tokens(MergeForgetsCount(), 50), laws=["mbc.merge"], examples=64)
    assert wrong["status"].tolist() == ["fail"]
    laws = ["mbc.partition", "mbc.mask", "symmetry.padding"]
    by_channel = channels_first(MaskInUpdateByChannel(3))
    assert mbcbench.check(by_channel, laws=laws, dim_in=3, examples=16)["status"].eq("pass").all()
    assert not hasattr(by_channel, "merge")


class PresentOutside(nn.Module):
    """A mean as a stream, whose mask is True for padding, and whose read-out returns more than the mean."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def init_state(self, batch_size: int) -> Any:
        zero = self.phi.weight.new_zeros
        return zero(batch_size, 4), zero(batch_size, 1)

    def update(self, state: Any, x: Tensor, padding: Tensor | None = None) -> Any:
        present = torch.ones_like(x[..., :1]).bool() if padding is None else ~padding[..., None]
        terms = torch.where(present, torch.tanh(self.phi(torch.where(present, x, 0))), 0)
        return state[0] + terms.sum(1), state[1] + present.sum(1)

    def merge(self, a: Any, b: Any) -> Any:
        return a[0] + b[0], a[1] + b[1]

    def readout(self, state: Any) -> dict[str, Tensor]:
        return {"mean": state[0] / state[1].clamp(min=1), "number": state[1]}


class ForgetsPadding(PresentOutside):
    def update(self, state: Any, x: Tensor, padding: Tensor | None = None) -> Any:
        total, number = super().update(state, x, padding)
        return total, number if padding is None else number + padding.sum(1, keepdim=True)


def test_adapters_of_masks_and_outputs_keep_the_methods_of_a_stream() -> None:
    laws = ["mbc.partition", "mbc.merge", "mbc.mask", "mbc.resume", "symmetry.padding", "symmetry.permutation"]
    sound = inverted_mask(select_output(PresentOutside(3), "mean"), "padding")
    assert mbcbench.check(sound, laws=laws, dim_in=3, examples=32)["status"].eq("pass").all()
    wrong = inverted_mask(select_output(ForgetsPadding(3), "mean"), "padding")
    result = mbcbench.check(wrong, laws=["mbc.partition", "mbc.mask"], dim_in=3, examples=32)
    assert result["status"].tolist() == ["pass", "fail"]


class BagStream(PresentOutside):
    """A stream that reads one set, `n x d`, and encodes it whole by the same steps."""

    def forward(self, bag: Tensor) -> Tensor:
        return torch.tanh(self.phi(bag)).sum(0)


def test_an_adapter_for_one_set_at_a_time_adapts_whole_sets() -> None:
    laws = ["symmetry.permutation", "symmetry.padding", "mbc.partition"]
    result = mbcbench.check(set_by_set(BagStream(3)), laws=laws, dim_in=3, examples=64)
    assert result["status"].eq("pass").all()


class MeanWithoutForward(nn.Module):
    """A mean as a stream; it defines no `forward`."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def init_state(self, batch_size: int) -> tuple[Tensor, int]:
        return self.phi.weight.new_zeros(batch_size, 4), 0

    def update(self, state: tuple[Tensor, int], x: Tensor) -> tuple[Tensor, int]:
        return state[0] + torch.tanh(self.phi(x)).sum(1), state[1] + x.shape[1]

    def merge(self, a: tuple[Tensor, int], b: tuple[Tensor, int]) -> tuple[Tensor, int]:
        return a[0] + b[0], a[1] + b[1]

    def readout(self, state: tuple[Tensor, int]) -> Tensor:
        return state[0] / max(state[1], 1)


@pytest.mark.parametrize(
    "adapt",
    [
        set_by_set,
        StreamByStreamAdapter,
        MergingStreamByStreamAdapter,
        lambda stream: MaskAdapter(stream, lambda module, x, mask: module(x)),
    ],
)
def test_an_adapted_stream_without_forward_encodes_a_set_as_one_chunk(adapt: Callable[[nn.Module], nn.Module]) -> None:
    x = torch.randn(2, 5, 3)
    module = MeanWithoutForward(3)
    torch.testing.assert_close(adapt(module)(x), torch.tanh(module.phi(x)).mean(1))
    result = mbcbench.check(
        adapt(MeanWithoutForward(3)), laws=["symmetry.batch", "hygiene.inputs"], dim_in=3, examples=16
    )
    assert result["status"].eq("pass").all(), repr(result)
