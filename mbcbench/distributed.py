"""Sets over several processes of `torch.distributed`: merge states in a tree, and send gradients back through it."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mbcbench.errors import STREAMS_GUIDE, UsageError
from mbcbench.protocol.encoder import has_merge, is_streaming
from mbcbench.protocol.state import from_bytes, leaves, map_state, replace_leaves, tensors, to_bytes
from mbcbench.types import Encoder, State


def encode(module: nn.Module, chunks: Iterable[Tensor]) -> Tensor:
    """Return the encoding of the chunks of all processes together, in every process and with exact gradients.

    Each process updates a state with its own chunks. The states, not the elements, are sent and merged in a tree, in
    the order of the ranks: for a mini-batch consistent encoder f, the result is f(X) of the whole set X.

    To train on the encoding, compute the same loss and its gradients in every process, and average the gradients (see
    `average_gradients`): the result equals the gradients of a single process. `average_gradients` reads `.grad`, where
    `backward` stores gradients; assign those of `torch.autograd.grad` to it.

    Parameters
    ----------
    module
        A streaming encoder with `merge`, with the same parameters in every process.
    chunks
        Chunks of this process (`B x n_c x d`), in their order. Some processes may have none.

    Returns
    -------
    Tensor
        The encoding, `B x ...`.

    Raises
    ------
    UsageError
        If the module cannot stream or merge, there is no process group, no process has a chunk, or the processes have
        different numbers of sets `B`.
    """
    check_mergeable(module, type(module).__name__)
    if not dist.is_initialized():
        raise UsageError("distributed.encode needs a process group; call torch.distributed.init_process_group first")
    encoder: Encoder = module
    first = next(stream := iter(chunks), None)
    device = first.device if first is not None else next((p.device for p in module.parameters()), torch.device("cpu"))
    state = _same_initial_state(encoder, _batch_size(first, device), device)
    for chunk in itertools.chain([] if first is None else [first], stream):
        state = encoder.update(state, chunk)
    anchor = _anchor(module, state, device)
    state, token = _merge_with_gradients(state, encoder.merge, anchor)
    encoding = None if state is None else encoder.readout(state)
    if encoding is not None and token is not None:
        (encoding,) = _Tie.apply(1, encoding, token)  # type: ignore[no-untyped-call]
    return _broadcast(encoding, anchor if token is None else anchor + token)


def average_gradients(module: nn.Module) -> None:
    """Replace the gradients of the parameters by their means over all processes, as `DistributedDataParallel` does.

    Parameters
    ----------
    module
        A module with the same parameters in every process. A parameter without a gradient, as in a process without
        chunks, counts as having a gradient of zero; parameters that require none are ignored.

    Raises
    ------
    ValueError
        If there is no process group.
    """
    for parameter in module.parameters():
        if parameter.requires_grad:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            dist.all_reduce(gradient)
            parameter.grad = gradient / dist.get_world_size()


def check_mergeable(module: nn.Module, name: str) -> None:
    """Raise UsageError if an encoder is not a streaming one with `merge`."""
    if not is_streaming(module):
        raise UsageError(f"{name} is a plain module; make it a stream with merge ({STREAMS_GUIDE})")
    if not has_merge(module):
        raise UsageError(f"{name} has no merge, which the states of several processes need; define merge(a, b)")


def merge_in_tree(state: State, merge: Callable[[State, State], State], like: State, device: torch.device) -> State:
    """Merge the states of all ranks in their order, without gradients; return the result on rank 0, None on others.

    like: a fresh state; received states have its types.
    """
    for partner, is_receiver in _partners():
        if not is_receiver:
            send_state(state, partner, device)
            return None
        state = merge(state, receive_state(partner, like, device))
    return state


def send_state(state: State, rank: int, device: torch.device) -> None:
    """Send a state, as safetensors bytes."""
    data = torch.frombuffer(bytearray(to_bytes(state)), dtype=torch.uint8).to(device)
    dist.send(torch.tensor([len(data)], device=device), rank)
    dist.send(data, rank)


def receive_state(rank: int, like: State, device: torch.device) -> State:
    """Return the state that a rank sends."""
    length = torch.zeros(1, dtype=torch.int64, device=device)
    dist.recv(length, rank)
    data = torch.empty(int(length), dtype=torch.uint8, device=device)
    dist.recv(data, rank)
    state = from_bytes(data.cpu().numpy().tobytes(), like)
    return map_state(lambda tensor: tensor.to(device), state)


def _partners() -> Iterable[tuple[int, bool]]:
    """Yield the ranks with which this rank exchanges a state, and True if it receives. A rank that has sent is done."""
    rank, size, step = dist.get_rank(), dist.get_world_size(), 1
    while step < size:
        if rank % (2 * step):
            yield rank - step, False
            return
        if rank + step < size:
            yield rank + step, True
        step *= 2


def _batch_size(chunk: Tensor | None, device: torch.device) -> int:
    size = 0 if chunk is None else len(chunk)
    limits = torch.tensor([size, -(size or 2**31)], device=device)
    dist.all_reduce(limits, dist.ReduceOp.MAX)
    largest, smallest = int(limits[0]), -int(limits[1])
    if not largest:
        raise UsageError("no process has a chunk; give at least one of them a chunk, B x n_c x d")
    if smallest != largest:
        raise UsageError(f"chunks have {smallest} sets in one process and {largest} in another; give the same number")
    return largest


def _same_initial_state(encoder: Encoder, batch_size: int, device: torch.device) -> State:
    """Return an initial state for which all ranks have drawn the same random numbers."""
    seed = torch.randint(2**31, (1,)).to(device)
    dist.broadcast(seed, 0)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(seed))
        return encoder.init_state(batch_size)


def _anchor(module: nn.Module, state: State, device: torch.device) -> Tensor:
    """Return a zero that depends on every tensor of this process that may need a gradient.

    The backward pass of each exchange must run in every process, or another process waits for ever.
    `torch.autograd.grad` runs only the path between its inputs and outputs, so every exchange depends on this zero.
    """
    leaf = torch.zeros((), device=device, requires_grad=torch.is_grad_enabled())
    inputs = [part for part in (*module.parameters(), *tensors(state)) if part.requires_grad]
    anchor: Tensor = _Anchor.apply(leaf, *inputs)  # type: ignore[no-untyped-call]
    return anchor


class _Sent(NamedTuple):
    """A state that is sent, with a flag for each tensor that requires a gradient."""

    state: State
    has_gradient: Tensor


def _merge_with_gradients(
    state: State, merge: Callable[[State, State], State], anchor: Tensor
) -> tuple[State, Tensor | None]:
    """Merge as `merge_in_tree` does. The second result is a tensor through which gradients reach the exchanges."""
    tokens: list[Tensor] = []
    like = state
    for partner, is_receiver in _partners():
        parts = tensors(state)
        if not is_receiver:
            has_gradient = [part.requires_grad for part in parts]
            send_state(_Sent(state, torch.tensor(has_gradient)), partner, anchor.device)
            sent = [part for part in parts if part.requires_grad]
            if sent:
                tokens.append(_Send.apply(partner, anchor, *sent))  # type: ignore[no-untyped-call]
            return None, _sum(tokens)
        received, token = _receive(partner, like, anchor)
        tokens += [] if token is None else [token]
        state = merge(state, received)
    return state, _sum(tokens)


def _receive(partner: int, like: State, anchor: Tensor) -> tuple[State, Tensor | None]:
    sent: _Sent = receive_state(partner, _Sent(like, torch.empty(0)), anchor.device)
    places = [place for place, leaf in enumerate(leaves(sent.state)) if isinstance(leaf, Tensor)]
    places = [place for place, has_gradient in zip(places, sent.has_gradient.tolist(), strict=True) if has_gradient]
    if not places:
        return sent.state, None
    values = list(leaves(sent.state))
    token, *parts = _Receive.apply(partner, anchor, *(values[place] for place in places))  # type: ignore[no-untyped-call]
    return replace_leaves(sent.state, dict(zip(places, parts, strict=True))), token


def _sum(tokens: list[Tensor]) -> Tensor | None:
    return torch.stack(tokens).sum() if tokens else None


def _broadcast(encoding: Tensor | None, token: Tensor) -> Tensor:
    """Return the encoding of rank 0 on all ranks."""
    like, device = torch.empty(0), token.device
    meta = torch.zeros(1, dtype=torch.int64, device=device)
    if encoding is not None:
        data = torch.frombuffer(bytearray(to_bytes(encoding)), dtype=torch.uint8).to(device)
        meta[0] = len(data)
    dist.broadcast(meta, 0)
    if encoding is None:
        data = torch.empty(int(meta), dtype=torch.uint8, device=device)
    dist.broadcast(data, 0)
    value: Tensor = encoding if encoding is not None else from_bytes(data.cpu().numpy().tobytes(), like).to(device)
    if not torch.is_grad_enabled():
        return value
    out: Tensor = _Broadcast.apply(value, token)  # type: ignore[no-untyped-call]
    return out


class _Anchor(torch.autograd.Function):
    """Return zero; the backward pass gives zeros to parameters, which a process without chunks does not use."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.inputs = inputs
        return torch.zeros((), device=inputs[0].device)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return tuple(torch.zeros_like(part) if part.is_leaf else None for part in ctx.inputs)


class _Send(torch.autograd.Function):
    """Return zero; the backward pass receives the gradients of the sent tensors."""

    @staticmethod
    def forward(ctx: Any, partner: int, anchor: Tensor, *parts: Tensor) -> Tensor:
        ctx.partner, ctx.parts = partner, [torch.empty_like(part) for part in parts]
        return torch.zeros((), device=parts[0].device)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        for part in ctx.parts:
            dist.recv(part, ctx.partner)
        return None, torch.zeros_like(gradients[0]), *ctx.parts


class _Receive(torch.autograd.Function):
    """Return a token and the received tensors; the backward pass sends their gradients back."""

    @staticmethod
    def forward(ctx: Any, partner: int, anchor: Tensor, *parts: Tensor) -> Any:
        ctx.partner = partner
        return anchor.clone(), *(part.clone() for part in parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        for gradient in gradients[1:]:
            dist.send(gradient.contiguous(), ctx.partner)
        return None, gradients[0], *(None for _ in gradients[1:])


class _Tie(torch.autograd.Function):
    """Return the first tensors; the backward pass gives zeros to the others, so that it reaches their inputs."""

    @staticmethod
    def forward(ctx: Any, count: int, *parts: Tensor) -> Any:
        ctx.others = [torch.zeros_like(part) for part in parts[count:]]
        return tuple(part.clone() for part in parts[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, *gradients, *ctx.others


class _Broadcast(torch.autograd.Function):
    """Return the value; the backward pass sums the gradients of all ranks on rank 0."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, token: Tensor) -> Tensor:
        ctx.token = torch.zeros_like(token)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        total = gradients[0].contiguous().clone()
        dist.reduce(total, 0)
        return total if dist.get_rank() == 0 else None, ctx.token
