"""mbcbench: verify, measure and score neural set encoders under mini-batch consistency.

Names are imported when first used, so that `import mbcbench` costs nothing and needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbcbench.protocol.encoder import ChunkAggregation as ChunkAggregation
    from mbcbench.protocol.encoder import SetEncoder as SetEncoder
    from mbcbench.protocol.spec import EncoderSpec as EncoderSpec
    from mbcbench.protocol.target import build as build
    from mbcbench.protocol.target import get_spec as get_spec
    from mbcbench.records.store import load as load
    from mbcbench.verify.check import CheckResult as CheckResult
    from mbcbench.verify.check import check as check
    from mbcbench.verify.counterexample import replay_counterexample as replay_counterexample
    from mbcbench.verify.parametrize import parametrize_with_laws as parametrize_with_laws

_HOME = {
    "CheckResult": "mbcbench.verify.check",
    "EncoderSpec": "mbcbench.protocol.spec",
    "ChunkAggregation": "mbcbench.protocol.encoder",
    "SetEncoder": "mbcbench.protocol.encoder",
    "build": "mbcbench.protocol.target",
    "check": "mbcbench.verify.check",
    "load": "mbcbench.records.store",
    "parametrize_with_laws": "mbcbench.verify.parametrize",
    "replay_counterexample": "mbcbench.verify.counterexample",
    "get_spec": "mbcbench.protocol.target",
}

__all__ = [
    "CheckResult",
    "ChunkAggregation",
    "EncoderSpec",
    "SetEncoder",
    "build",
    "check",
    "get_spec",
    "load",
    "parametrize_with_laws",
    "replay_counterexample",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
