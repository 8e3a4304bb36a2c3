"""What a program asks for by name."""

from typing import Any

from torch import nn

from mbcbench.protocol import target
from mbcbench.protocol.spec import EncoderSpec


def spec(name: str) -> EncoderSpec:
    """The spec of an encoder: a registered name, `package.module:attr` or `path/to/file.py:attr`.

    Raises UsageError when the name stands for nothing usable, BrokenPluginError when the plug-in's own code fails.
    """
    return target.resolve(name)


def build(name: str, *, dim_in: int, seed: int = 0, **hyper: Any) -> nn.Module:
    """An encoder for elements of width `dim_in`, its parameters drawn under `seed`.

    `hyper` overrides the spec's hyper-parameters. Raises as `spec` does.
    """
    return target.build(spec(name), dim_in=dim_in, seed=seed, **hyper)
