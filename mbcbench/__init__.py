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
    from mbcbench.verify.checked import Checked as Checked
    from mbcbench.verify.checking import check as check
    from mbcbench.verify.examine import replay as replay
    from mbcbench.verify.parametrize import parametrize_with_laws as parametrize_with_laws

_HOME = {
    "Checked": "mbcbench.verify.checked",
    "EncoderSpec": "mbcbench.protocol.spec",
    "ChunkAggregation": "mbcbench.protocol.encoder",
    "SetEncoder": "mbcbench.protocol.encoder",
    "build": "mbcbench.protocol.target",
    "check": "mbcbench.verify.checking",
    "load": "mbcbench.records.store",
    "parametrize_with_laws": "mbcbench.verify.parametrize",
    "replay": "mbcbench.verify.examine",
    "get_spec": "mbcbench.protocol.target",
}

__all__ = [
    "Checked",
    "ChunkAggregation",
    "EncoderSpec",
    "SetEncoder",
    "build",
    "check",
    "get_spec",
    "load",
    "parametrize_with_laws",
    "replay",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
