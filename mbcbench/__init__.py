"""mbcbench: verify, measure and score neural set encoders under mini-batch consistency.

Names are imported when first used, so that `import mbcbench` costs nothing and needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mbcbench.api import build as build
    from mbcbench.api import spec as spec
    from mbcbench.checked import Checked as Checked
    from mbcbench.checking import check as check
    from mbcbench.encoder import Pair as Pair
    from mbcbench.encoder import SetEncoder as SetEncoder
    from mbcbench.examine import replay as replay
    from mbcbench.parametrize import parametrize_with_laws as parametrize_with_laws
    from mbcbench.specs import EncoderSpec as EncoderSpec
    from mbcbench.store import load as load

_HOME = {
    "Checked": "mbcbench.checked",
    "EncoderSpec": "mbcbench.specs",
    "Pair": "mbcbench.encoder",
    "SetEncoder": "mbcbench.encoder",
    "build": "mbcbench.api",
    "check": "mbcbench.checking",
    "load": "mbcbench.store",
    "parametrize_with_laws": "mbcbench.parametrize",
    "replay": "mbcbench.examine",
    "spec": "mbcbench.api",
}

__all__ = [
    "Checked",
    "EncoderSpec",
    "Pair",
    "SetEncoder",
    "build",
    "check",
    "load",
    "parametrize_with_laws",
    "replay",
    "spec",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
