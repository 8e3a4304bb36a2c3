"""Initial weights: independent seeds for the parts of a model.

If two parts of a model are built under the same seed, their weights are copies of one another. Each part therefore has
a seed of its own, spawned from the model's. The seed of the element network does not depend on the encoder, so
models that differ only in the encoder start with the same element network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np
import torch


class PartSeeds(NamedTuple):
    """Independent seeds for the parts of a model that a set encoder is used in."""

    element: int
    encoder: int
    head: int

    @classmethod
    def spawn(cls, seed: int) -> Self:
        """Spawn the seeds of the parts from the seed of the model."""
        children = np.random.SeedSequence(seed).spawn(len(cls._fields))
        return cls(*(int(child.generate_state(1)[0]) for child in children))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw weights from `seed`; the global random state is restored afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
