"""Packages that are imported where parts of them, or of what they need, are missing.

The wheels of torchvision are compiled for torch with CUDA. Beside torch for the CPU its operators do not load, and the
import fails because one of them is not registered. The modules of this study use none of them.
"""

import importlib
import sys

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor a, Tensor b, float c) -> Tensor",
)
_LIBRARIES: list[torch.library.Library] = []  # a library that is collected takes its operators with it


def prepare_torchvision() -> None:
    """Register the operators that torchvision names when it is imported, if it cannot register them itself."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)
