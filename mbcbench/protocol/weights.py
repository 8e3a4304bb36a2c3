"""Trained weights of an encoder, from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from mbcbench.errors import UsageError, one_line

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training loops store a state_dict
PREFIXES = ("module.", "model.", "_orig_mod.")  # of DistributedDataParallel, Lightning and torch.compile


def load_weights(module: nn.Module, weights: Path, name: str) -> None:
    """Load a state_dict from a .safetensors file or a file saved by torch into `module`.

    Checkpoints that hold the state_dict under a usual key, or with a usual prefix on every name, are unwrapped.

    Raises UsageError if the file cannot be read or its weights do not fit.
    """
    if not weights.is_file():
        raise UsageError(f"no such file: {weights}")
    try:
        module.load_state_dict(_unwrap(_read(weights), module.state_dict().keys()))
    except Exception as error:  # torch and safetensors raise many types
        reason = " ".join(str(error).split()) or one_line(error)
        raise UsageError(f"{weights} does not hold weights for {name} as it was built: {reason}") from error


def _read(weights: Path) -> Mapping[str, Any]:
    if weights.suffix == ".safetensors":
        return safetensors.torch.load_file(weights)
    content: Mapping[str, Any] = torch.load(weights, map_location="cpu", weights_only=True)
    return content


def _unwrap(content: Mapping[str, Any], names: Any) -> Mapping[str, Any]:
    """Return the state_dict in a checkpoint, without a prefix that none of the `names` needs."""
    if not isinstance(content, Mapping) or content.keys() == names:
        return content
    state_dict = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), content)
    for prefix in PREFIXES:
        stripped = {key.removeprefix(prefix): value for key, value in state_dict.items()}
        if stripped.keys() == names:
            return stripped
    return state_dict
