"""Names for types that Python cannot express: states, encoders and JSON."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

# State of a stream: a pytree of tensors. Its structure is known to the encoder only.
State: TypeAlias = Any

# A module with `forward` and perhaps the steps of a stream, which the type nn.Module does not have.
Encoder: TypeAlias = Any

# A JSON object: numbers, strings, booleans, None, lists and objects by name.
JsonObject: TypeAlias = Mapping[str, Any]
JsonDict: TypeAlias = dict[str, Any]

# Hyper-parameters by name.
Hyper: TypeAlias = Mapping[str, Any]

# How much to try, or how long to train.
Profile: TypeAlias = Literal["smoke", "quick", "standard", "thorough", "paper"]

# Where models and encoders compute.
Device: TypeAlias = Literal["cpu", "cuda"]
