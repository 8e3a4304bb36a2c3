"""Functions that each process of a group calls."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

import mbcbench.distributed
from mbcbench import registry
from mbcbench.protocol.build import build
from mbcbench.protocol.encoder import has_merge, is_streaming
from mbcbench.protocol.state import nbytes, to_bytes
from mbcbench.types import Encoder

ROOT = Path(__file__).parents[2]
SIZES = {2: [[5, 3], [8]], 3: [[4], [], [1, 7]]}  # chunks of each rank, by the number of ranks


def streaming_builtins() -> list[str]:
    """Return the names of the registered encoders with states that merge."""
    modules = {name: build(name, dim_in=3) for name in registry.plugins(registry.ENCODERS)}
    return [name for name, module in modules.items() if is_streaming(module) and has_merge(module)]


def _chunks(size: int) -> list[list[Tensor]]:
    x = torch.randn(2, 16, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    lengths = [length for chunks in SIZES[size] for length in chunks]
    parts = iter(x[:, : sum(lengths)].split(lengths, 1))  # type: ignore[no-untyped-call]
    return [[next(parts) for _ in chunks] for chunks in SIZES[size]]


def _gradients(module: nn.Module, encoding: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, encoding.numel(), dtype=encoding.dtype).view_as(encoding)
    module.zero_grad()
    (encoding * weights).sum().backward()  # type: ignore[no-untyped-call]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in module.parameters()]


def gradients() -> None:
    """Compare encodings and averaged gradients with those of one process."""
    rank, size = dist.get_rank(), dist.get_world_size()
    chunks = _chunks(size)
    for name in streaming_builtins():
        module: Encoder = build(name, dim_in=3).double().eval()
        encoding = mbcbench.distributed.encode(module, chunks[rank])
        _gradients(module, encoding)
        mbcbench.distributed.average_gradients(module)
        actual = [p.grad for p in module.parameters()]
        state = module.init_state(2)
        for chunk in (chunk for part in chunks for chunk in part):
            state = module.update(state, chunk)
        expected = module.readout(state)
        assert torch.allclose(encoding, expected), name
        for a, b in zip(actual, _gradients(module, expected), strict=True):
            assert torch.allclose(a, b), name


def gradients_of_some() -> None:
    """`torch.autograd.grad` of one parameter ends in every process, and its mean is that of one process."""
    rank, size = dist.get_rank(), dist.get_world_size()
    chunks = _chunks(size)
    module: Encoder = build("deepsets-mean", dim_in=3).double()
    whole = module(torch.cat([chunk for part in chunks for chunk in part], 1).detach())
    for parameter in module.parameters():
        encoding = mbcbench.distributed.encode(module, [chunk.detach() for chunk in chunks[rank]])
        (parameter.grad,) = torch.autograd.grad(encoding.square().sum(), [parameter])
        mbcbench.distributed.average_gradients(nn.ParameterList([parameter]))
        (expected,) = torch.autograd.grad(whole.square().sum(), [parameter], retain_graph=True)
        assert torch.allclose(parameter.grad, expected)


def random_slots() -> None:
    """All ranks draw the same slots in train mode, and leave their random numbers as they were."""
    torch.manual_seed(dist.get_rank())
    module = build("sse-random", dim_in=3).double().train()
    encoding = mbcbench.distributed.encode(module, _chunks(dist.get_world_size())[dist.get_rank()])
    other = encoding.detach().clone()
    dist.broadcast(other, 0)
    assert torch.equal(other, encoding)
    assert encoding.abs().max() > 0


def page() -> None:
    """The training step of the page on scale is one on the full set."""
    code = (ROOT / "docs" / "scale.md").read_text().partition("## One set over many processes")[2]
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", code, re.DOTALL)[0], names)
    module: Encoder = build("deepsets-mean", dim_in=3).double()
    chunks, start = _chunks(dist.get_world_size()), [p.detach().clone() for p in module.parameters()]
    names["step"](module, chunks[dist.get_rank()], 1.0, torch.optim.SGD(module.parameters(), lr=0.1))
    actual = [p.detach().clone() for p in module.parameters()]
    for parameter, value in zip(module.parameters(), start, strict=True):
        parameter.data = value
    whole = torch.cat([chunk for part in chunks for chunk in part], 1).detach()
    names["distributed"] = SimpleNamespace(
        encode=lambda module, x: module(x), average_gradients=lambda module: None
    )  # of one process
    names["step"](module, whole, 1.0, torch.optim.SGD(module.parameters(), lr=0.1))
    assert all(torch.allclose(a, b) for a, b in zip(actual, module.parameters(), strict=True))


def traffic() -> None:
    """What is sent has the size of the state, and not of the set."""
    module: Encoder = build("sse-random", dim_in=3).eval()
    sent: list[int] = []
    send = dist.send

    def counted_send(tensor: Tensor, *arguments: Any) -> None:
        sent.append(tensor.nbytes)
        send(tensor, *arguments)

    dist.send = counted_send  # type: ignore[assignment]
    for n in (1, 5000):
        state = module.update(module.init_state(1), torch.ones(1, n, 3))
        mbcbench.distributed.merge_in_tree(state, module.merge, module.init_state(1), torch.device("cpu"))
    dist.send = send
    if dist.get_rank():
        assert sum(sent[:2]) == sum(sent[2:]) == 8 + len(to_bytes(state)) < nbytes(state) + 1000


def no_gradients() -> None:
    with torch.no_grad():
        encoding = mbcbench.distributed.encode(build("umbc", dim_in=3).double().eval(), _chunks(2)[dist.get_rank()])
    assert not encoding.requires_grad
