"""Options for building an encoder: its width, hyper-parameters, weights and device."""

import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbcbench.errors import UsageError
from mbcbench.protocol.spec import WIDTH, EncoderSpec
from mbcbench.types import Device, Hyper, JsonDict

if TYPE_CHECKING:
    from torch import nn

WIDTH_FIX = "give it with --dim-in (encode takes that of the file)"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Options for building an encoder.

    Parameters
    ----------
    dim_in
        Element width `d`, or None for one that fits the encoder.
    hyper
        Hyper-parameters in place of those of the spec.
    weights
        File with trained weights, or an empty string.
    weights_key
        The part of that file to use, or an empty string for the only one that fits.
    device
        Device on which the encoder runs.
    """

    dim_in: int | None = None
    hyper: Hyper = field(default_factory=dict)
    weights: str = ""
    weights_key: str = ""
    device: Device = "cpu"

    def to_params(self) -> JsonDict:
        """Return the options that are set, as parameters of a cell; `BuildOptions.from_params` reads them."""
        device = "" if self.device == "cpu" else self.device
        params = {
            "dim_in": self.dim_in,
            "hyper": dict(self.hyper),
            "weights": self.weights,
            "weights_key": self.weights_key,
            "device": device,
        }
        return {name: value for name, value in params.items() if value}

    @classmethod
    def from_params(cls, params: "JsonDict | Any") -> "BuildOptions":
        """Return the options in the parameters of a cell."""
        return cls(
            dim_in=params.get("dim_in"),
            hyper=params.get("hyper") or {},
            weights=str(params.get("weights") or ""),
            weights_key=str(params.get("weights_key") or ""),
            device=params.get("device", "cpu"),
        )

    @property
    def is_default(self) -> bool:
        """True if nothing is set."""
        return not self.to_params()

    def apply(self, spec: EncoderSpec) -> EncoderSpec:
        """Return a spec whose factory builds the encoder with these hyper-parameters and weights, on the device.

        Raises UsageError if there is no such device.
        """
        if self.weights:
            spec = replace(spec, factory=_with_weights(spec, Path(self.weights), self.weights_key))
        if self.device != "cpu":
            spec = replace(spec, factory=_on_device(spec, self.device))
        return replace(spec, hyper={**spec.hyper, **self.hyper})


def _with_weights(spec: EncoderSpec, weights: Path, key: str) -> "Callable[..., nn.Module]":
    from mbcbench.protocol.weights import load_weights  # imports torch, which the main process does without

    def factory(dim_in: int, **hyper: Any) -> "nn.Module":
        module = spec.factory(dim_in, **hyper)
        load_weights(module, weights, spec.name, key)
        return module

    return update_wrapper(factory, spec.factory, updated=())


def _on_device(spec: EncoderSpec, device: Device) -> "Callable[..., nn.Module]":
    from mbcbench.protocol.on_device import check_device, on_device  # imports torch

    def factory(dim_in: int, **hyper: Any) -> "nn.Module":
        return on_device(spec.factory(dim_in, **hyper), device)

    check_device(device)
    return update_wrapper(factory, spec.factory, updated=())


def parse_build_options(
    dim_in: int | None = None,
    hyper: Iterable[str] | None = None,
    weights: Path | str | None = None,
    weights_key: str | None = None,
    device: Device = "cpu",
) -> BuildOptions:
    """Parse options of a user, with hyper-parameters as `NAME=VALUE`. Raises UsageError for any other form."""
    if dim_in is not None and dim_in < 1:
        raise UsageError(f"--dim-in {dim_in}: the width of the elements is at least 1")
    if weights and not Path(weights).is_file():
        raise UsageError(f"no such file: {weights}")
    if weights_key and not weights:
        raise UsageError(f"--weights-key {weights_key} names a part of a file: add --weights FILE")
    return BuildOptions(
        dim_in=dim_in,
        hyper=parse_hyper(hyper or ()),
        weights=str(weights or ""),
        weights_key=weights_key or "",
        device=device,
    )


def parse_hyper(texts: Iterable[str]) -> dict[str, Any]:
    """Return hyper-parameters given as `NAME=VALUE`; a value is JSON, or else a string."""
    return dict(map(_parse_one, texts))


def _parse_one(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--hyper {text} is not NAME=VALUE, as in --hyper dim=64")
    if name == WIDTH:
        raise UsageError(f"--hyper {text}: the width of the elements is not a hyper-parameter; {WIDTH_FIX}")
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value
