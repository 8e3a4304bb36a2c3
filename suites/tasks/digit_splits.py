"""Digits split into training, validation and test parts under a seed."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbcbench.datasets import MNIST_5K

TRAIN, VALIDATION, TEST = 350, 50, 100  # digits of each class; together all 500


class DigitSplit(NamedTuple):
    """Images by class, `10 x count x 28 x 28`, uint8."""

    train: Tensor
    validation: Tensor
    test: Tensor


def split_digits(seed: int) -> DigitSplit:
    """Split the 5,000 built-in digits at random, class by class."""
    data = MNIST_5K.load()
    images = np.concatenate([data.train.images, data.test.images])
    labels = np.concatenate([data.train.labels, data.test.labels])
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(labels)]))
    by_class = np.stack([images[rng.permutation(np.flatnonzero(labels == label))] for label in range(10)])
    parts = np.split(by_class, [TRAIN, TRAIN + VALIDATION], axis=1)
    return DigitSplit(*map(torch.from_numpy, map(np.ascontiguousarray, parts)))
