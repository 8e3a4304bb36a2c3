"""Orders of streams: the order and the chunks in which a trained model gets the elements of a set.

No single order shows every kind of inconsistency: equal chunks never show an unweighted mean of chunk means, random
chunks hardly show an encoder that normalizes within a chunk, and splitting off one element hardly changes a maximum of
chunk encodings.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StreamOrder:
    """An order of streams.

    Parameters
    ----------
    name
        Name in records.
    sizes
        Function from the size of a set to the sizes of its chunks.
    is_sorted
        True if the elements are sorted by a key of the task before they are cut into chunks, so that the chunks differ.
    """

    name: str
    sizes: Callable[[int], list[int]]
    is_sorted: bool = False

    def chunks(self, x: Tensor, key: Tensor) -> list[Tensor]:
        """Return the chunks of sets `x` (`B x n x d`) with the sort keys `key` (`B x n`)."""
        if self.is_sorted:
            order = key.argsort(dim=1, stable=True)
            x = x.gather(1, order[..., None].expand_as(x))
        return list(torch.split(x, self.sizes(x.shape[1]), dim=1))


def equal_sizes(n: int, size: int) -> list[int]:
    """Return the sizes of chunks of `size` elements, of which the last may be smaller."""
    return [min(size, n - start) for start in range(0, n, size)]


def doubling_sizes(n: int) -> list[int]:
    """Return 1, 2, 4, ... up to a fifth of `n`, and the rest: 1, 2, 4, 8, 16, 69 for 100."""
    sizes = [1]
    while 2 * sizes[-1] <= n / 5:
        sizes.append(2 * sizes[-1])
    rest = n - sum(sizes)
    return [*sizes, rest] if rest > 0 else equal_sizes(n, 1)


STREAM_ORDERS = (
    StreamOrder("random", lambda n: equal_sizes(n, -(-n // 4))),
    StreamOrder("single", lambda n: [1] * n),
    StreamOrder("sorted", lambda n: equal_sizes(n, max(2, n // 10)), is_sorted=True),
    StreamOrder("uneven", doubling_sizes, is_sorted=True),
    StreamOrder("one-and-rest", lambda n: [1, n - 1] if n > 1 else [1]),
)
