"""One set over several processes: faults of a stream that a single process never shows."""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mbcbench import distributed
from mbcbench.types import Encoder
from mbcbench.verify.example import TIE_FREE_KINDS, Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable, merges
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import violation, worse
from .gradients import linear_loss
from .ranks import NoGroupError, RankError, call_in_ranks, why_not_forkable

Shares = list[list[int]]  # numbers of the chunks of each rank


class _Encoded(NamedTuple):
    """Encoding (`B x ...`), and the gradients of a loss: for the elements (`B x n d`) and all parameters (`P`)."""

    encoding: Tensor
    for_elements: Tensor
    for_parameters: Tensor

    def gradients(self) -> Tensor:
        """Return all gradients for each set, `B x (n d + P)`: every set answers for those for the parameters."""
        return torch.cat([self.for_elements, self.for_parameters.expand(len(self.for_elements), -1)], 1)


def check_distributed(subject: Subject, data: ExampleData) -> Comparison:
    """Two or three processes with chunks of one set arrive at the encoding and the gradients of a single process.

    Source: `mbcbench.distributed.encode`, which encodes a set that does not fit on one machine.

    Why it matters: a state must do more than merge. It is sent, so it must consist of tensors and plain values, and
    merge must accept what arrives: plain containers in place of types of one's own, equal tensors in place of the same
    tensor. A key into a table of the process means nothing elsewhere. Slots that depend on the process (its id, its
    generators of Python or NumPy) differ between ranks. A merge with a wrong gradient, detached or computed in place,
    passes the other laws, which merge without gradients.

    A process may have no chunk at all: it merges its initial state.

    This law is slow, because it starts processes. The profiles thorough and paper try it; other profiles do so only if
    it is named: `--law mbc.distributed`.

    It does not test GPUs and NCCL, processes on several machines or with other versions, more than three processes, a
    process that is lost, or train mode. The processes are copies of one process. They differ in their ids and
    generators, but not in the seed of `hash` or the environment, as processes that are started separately may.

    How to fix a failure: keep in the state everything that merge and read-out need, as tensors and plain values; draw
    with torch's generator, in init_state; let merge return new tensors, `a + b`, without `.detach()`.
    """
    try:
        return _compare_groups(subject, data, _deal(data))
    except NoGroupError as reason:
        raise NotApplicable(str(reason)) from reason


def _compare_groups(subject: Subject, data: ExampleData, shares: Shares) -> Comparison:
    """Compare what several processes obtain with what a single one does."""
    (expected,) = _encode_in_ranks(subject.module, data.x, data, [[*range(len(data.chunks))]])
    try:
        actual, *_ = _encode_in_ranks(subject.module, data.x, data, shares)
    except RankError as error:
        return violation(data, str(error))
    on_encoding = subject.compare(actual.encoding, expected.encoding, data.x)
    if bool((on_encoding.gap > on_encoding.bound).any()):
        return on_encoding

    def gradients(module: Encoder, x: Tensor) -> Tensor:
        (encoded,) = _encode_in_ranks(module, x, data, [[*range(len(data.chunks))]])
        return encoded.gradients()

    on_gradients = subject.compare(actual.gradients(), expected.gradients(), data.x, gradients)
    return worse(on_encoding, on_gradients._replace(note="the encodings agree, and the gradients differ"))


def _deal(data: ExampleData) -> Shares:
    """Return the chunks of each of two or three ranks: neighbours, in the order of the stream, perhaps none."""
    chunks = len(data.chunks)
    size = int(data.rng.integers(2, 4))
    cuts = [0, *sorted(int(cut) for cut in data.rng.integers(0, chunks + 1, size - 1)), chunks]
    shares = [[*range(start, stop)] for start, stop in pairwise(cuts)]
    data.choices["chunks of each process"] = shares
    return shares


def _encode_in_ranks(module: Encoder, x: Tensor, data: ExampleData, shares: Shares) -> list[_Encoded]:
    """Return what each process of a group obtains. Gradients need processes too: `why_not_forkable` says why."""
    like = _Encoded(*[torch.empty(0)] * 3)
    function = partial(_encode_share, module, x, data, shares)
    return call_in_ranks(function, like, len(shares), seed=data.example.seed)


def _encode_share(module: Encoder, x: Tensor, data: ExampleData, shares: Shares, rank: int) -> _Encoded:
    """Make the step of a rank that docs/scale.md shows."""
    with torch.enable_grad():
        elements = x.detach().requires_grad_()
        chunks = data.cut(elements)
        module.zero_grad()
        encoding = distributed.encode(module, [chunks[number] for number in shares[rank]])
        loss = linear_loss(encoding, data)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call] # of torch
        distributed.average_gradients(module)
        for_elements = torch.zeros_like(x) if elements.grad is None else elements.grad
        torch.distributed.all_reduce(for_elements)
    for_parameters = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return _Encoded(
        encoding.detach(),
        for_elements.flatten(1) / len(shares),
        torch.cat([*for_parameters, x.new_zeros(0)]),
    )


def forks(subject: Subject) -> str | None:
    """Require that forked copies of this process can encode."""
    del subject
    return why_not_forkable()


DISTRIBUTED = Law(
    id="mbc.distributed",
    check=check_distributed,
    requires=(merges, forks),
    kinds=TIE_FREE_KINDS,
    max_size=64,
    first=(
        Example(sizes=(5, 1, 2), kinds=TIE_FREE_KINDS, seed=1, variant=1),
        Example(sizes=(1, 3, 1, 9), kinds=TIE_FREE_KINDS, seed=6, variant=2),
    ),
    budget_fraction=0.05,
)
