"""Advice on adapters, for encoders that cannot be called as they are or whose mask has another name."""

import inspect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mbcbench.adapters.ragged import stack_outputs
from mbcbench.errors import ADAPTERS_GUIDE, PYG_GUIDE
from mbcbench.protocol.adapter import Adapter
from mbcbench.protocol.encoder import is_streaming, parameters_of, parameters_of_method
from mbcbench.types import Encoder

TOKENS = f"an encoder of integer tokens is wrapped: mbcbench.adapters.tokens(module, vocabulary=N) ({ADAPTERS_GUIDE})"
MASKS = (
    "key_padding_mask", "src_key_padding_mask", "padding_mask", "pad_mask", "attention_mask", "attn_mask", "src_mask",
    "valid_mask", "masks",
)  # fmt: skip
LENGTHS = ("lengths", "length", "sizes", "seq_lengths", "num_elements")
SET_NUMBERS = ("batch", "index", "ptr")

# Input of an encoder with another layout, by the name of its adapter.
READS = {
    "channels_first": "B x d x n",
    "sequence_first": "n x B x d",
    "list_of_sets": "a list of sets",
    "set_by_set": "one set n x d",
    "nested": "a nested tensor",
}
# Call of such an encoder with sets `B x n x d`, by the name of its adapter.
LAYOUTS: Mapping[str, Callable[[Encoder, Tensor], object]] = {
    "channels_first": lambda module, x: module(x.transpose(1, 2)),
    "sequence_first": lambda module, x: module(x.transpose(0, 1)),
    "list_of_sets": lambda module, x: module(list(x)),
    "set_by_set": lambda module, x: stack_outputs([module(one) for one in x]),
    "nested": lambda module, x: module(torch.nested.as_nested_tensor(list(x), layout=torch.jagged)),
}


def mask_advice(module: nn.Module) -> str:
    """Return advice for an encoder that may take its mask under another name, or an empty string."""
    parameters = parameters_of(module)
    mask = next((name for name in MASKS if name in parameters), None)
    lengths = next((name for name in LENGTHS if name in parameters), None)
    if mask is not None and is_streaming(module):
        return f"; if `{mask}` is one, call it `mask` in update, True where an element is present"
    if mask is not None:
        return f"; if `{mask}` is one, wrap it: {_mask_calls(mask)} ({ADAPTERS_GUIDE})"
    sets = next((name for name in SET_NUMBERS if name in parameters), None)
    if sets is not None and not is_streaming(module):
        return f"; if `{sets}` tells the sets apart, wrap it: {_call('pyg')} ({PYG_GUIDE})"
    if lengths is not None and not is_streaming(module):
        call = _lengths_call(lengths)
        return f"; if `{lengths}` says how many elements are present, wrap it: {call} ({ADAPTERS_GUIDE})"
    if not is_streaming(module) and _takes_any_argument(module):
        call = _call("renamed_mask", "mask")
        return f"; it takes arguments of any name: if `mask` is one, wrap it: {call} ({ADAPTERS_GUIDE})"
    return ""


def argument_advice(module: nn.Module) -> str:
    """Return advice for an encoder whose forward needs arguments besides x, or an empty string."""
    others = list(_required_arguments(module))[1:]
    if not others:
        return ""
    needs = f"forward needs {', '.join(others)} too"
    name = others[0]
    if len(others) > 1 or name not in (*MASKS, *LENGTHS, *SET_NUMBERS, "mask"):
        return f"{needs}: call it in an adapter, mbcbench.adapters.MaskAdapter(module, call) ({ADAPTERS_GUIDE})"
    if name in SET_NUMBERS:
        return f"{needs}: wrap it: {_call('pyg')} ({PYG_GUIDE})"
    if name in LENGTHS:
        return f"{needs}: wrap it: {_lengths_call(name)} ({ADAPTERS_GUIDE})"
    if name == "mask":
        return f"{needs}: give it the default None, or wrap it: {_call('renamed_mask', name)} ({ADAPTERS_GUIDE})"
    return f"{needs}: wrap it: {_mask_calls(name)} ({ADAPTERS_GUIDE})"


def layout_advice(module: nn.Module, x: Tensor) -> str:
    """Return advice on the adapters with which `module` returns one encoding per set of `x`, or an empty string."""
    larger = torch.cat([x, x[:, :1]], 1)  # a wrong layout may fit one size by chance
    calls = []
    for name, call in LAYOUTS.items():
        keys = _encoding_keys(module, call, larger)
        fitting = [key for key in _encoding_keys(module, call, x) if key in keys]
        if fitting:
            calls.append(f"if it reads {READS[name]}, {_selection(_call(name), fitting)}")
    return f"wrap it: {' or '.join(calls)} ({ADAPTERS_GUIDE})" if calls else ""


def output_advice(module: nn.Module, out: object, x: Tensor) -> str:
    """Return advice on selecting one of several outputs for the sets `x`, or an empty string.

    An encoder with another layout may return something for `x` too, but not one row per set.
    """
    entries = _entries(out)
    first = next(iter(entries.values()), None)
    advice = "" if _is_encoding(first, x) else layout_advice(module, x)
    if advice or not entries:
        return advice
    return f"select one: {_selection('module', list(entries))} ({ADAPTERS_GUIDE})"


def _entries(out: object) -> dict[object, Tensor]:
    """Return the outputs that may be an encoding, by their key for `select_output` (None for a single tensor)."""
    if isinstance(out, Mapping):
        entries = dict(out)
    elif isinstance(out, list | tuple):
        entries = dict(enumerate(out))
    else:
        entries = {None: out} if isinstance(out, Tensor) else getattr(out, "__dict__", {})
    return {key: value for key, value in entries.items() if isinstance(value, Tensor) and value.is_floating_point()}


def _selection(call: str, keys: Sequence[object]) -> str:
    """Return a call, wrapped in `select_output` unless it returns a single tensor (the key None)."""
    if keys[0] is None:
        return call
    choice = f", or {' or '.join(map(repr, keys[1:4]))} in place of {keys[0]!r}" if len(keys) > 1 else ""
    return f"mbcbench.adapters.select_output({call}, {keys[0]!r}){choice}"


def _mask_calls(name: str) -> str:
    return (
        f"{_call('renamed_mask', name)} where True means present, {_call('inverted_mask', name)} where it means absent"
    )


def _lengths_call(name: str) -> str:
    return f"{_call('with_lengths', name)}, with relative=True if they are fractions"


def _call(adapter: str, *names: str) -> str:
    return f"mbcbench.adapters.{adapter}({', '.join(['module', *map(repr, names)])})"


def _required_arguments(module: nn.Module) -> list[str]:
    if is_streaming(module):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters_of(module).values() if p.default is p.empty and p.kind in positional]


def _takes_any_argument(module: nn.Module) -> bool:
    """Return True if the forward of the encoder, inside any adapters, takes `**arguments`."""
    while isinstance(module, Adapter):
        module = module.module
    parameters = parameters_of_method(module.forward).values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _encoding_keys(module: nn.Module, call: Callable[[Encoder, Tensor], object], x: Tensor) -> list[object]:
    """Return the keys of the outputs that have one row per set of `x`."""
    try:
        out = call(module, x)
    except (Exception, SystemExit):  # a module may raise anything for an unexpected layout
        return []
    return [key for key, value in _entries(out).items() if _is_encoding(value, x)]


def _is_encoding(out: Tensor | None, x: Tensor) -> bool:
    return out is not None and not out.is_nested and out.dim() >= 2 and out.shape[0] == len(x)
