"""Adapters for encoders that read sets of unequal sizes without padding; the mask selects the elements."""

import inspect
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.adapters.masks import MaskAdapter
from mbcbench.errors import ADAPTERS_GUIDE, PYG_GUIDE, UsageError
from mbcbench.protocol.encoder import has_own_forward, is_streaming
from mbcbench.protocol.state import map_state
from mbcbench.types import Encoder, JsonDict

_SIZE_NAMES = ("dim_size", "size", "batch_size", "num_graphs")  # of the argument with the number of sets


def set_by_set(module: nn.Module) -> MaskAdapter:
    """Adapt an encoder that reads one set at a time, `n x d`, as most models of multiple instance learning do.

    If the encoder returns a tuple, a dict or an object, each entry is stacked; `select_output` then selects one.

    Parameters
    ----------
    module
        The encoder. A stream without a `forward` of its own encodes each set as one chunk, `1 x n x d`.

    Returns
    -------
    MaskAdapter
        An encoder of batches `B x n x d`.
    """
    is_stream = is_streaming(module) and not has_own_forward(module)

    def encode(encoder: Encoder, elements: Tensor) -> Any:
        return map_state(lambda out: out[0], encoder(elements[None])) if is_stream else encoder(elements)

    return MaskAdapter(module, lambda module, x, mask: stack_outputs([encode(module, one) for one in _sets(x, mask)]))


def stack_outputs(outputs: Sequence[Any]) -> Any:
    """Return the outputs for single sets as those of a batch: tensors are stacked, other outputs entry by entry.

    Entries that cannot be stacked, such as weights of sets of unequal sizes, stay a list.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        return torch.stack(list(outputs))
    if isinstance(first, Mapping):
        return {key: _stack_entries([output[key] for output in outputs]) for key in first}
    if isinstance(first, tuple | list):
        entries = [_stack_entries(values) for values in zip(*outputs, strict=True)]
        return type(first)(*entries) if hasattr(first, "_fields") else tuple(entries)
    if hasattr(first, "__dict__"):
        return SimpleNamespace(**stack_outputs([vars(output) for output in outputs]))
    return list(outputs)


def _stack_entries(entries: Sequence[Any]) -> Any:
    is_ragged = len({entry.shape if isinstance(entry, Tensor) else None for entry in entries}) > 1
    return list(entries) if is_ragged else stack_outputs(entries)


def list_of_sets(module: nn.Module) -> MaskAdapter:
    """Adapt an encoder that reads a list of sets, `n_i x d` each, and returns `B x ...`.

    Parameters
    ----------
    module
        The encoder.

    Returns
    -------
    MaskAdapter
        An encoder of batches `B x n x d`.
    """
    return MaskAdapter(module, lambda encoder, x, mask: encoder(_sets(x, mask)))


def nested(module: nn.Module, *, layout: torch.layout = torch.jagged) -> MaskAdapter:
    """Adapt an encoder that reads a nested tensor and returns `B x ...`.

    Parameters
    ----------
    module
        The encoder.
    layout
        Layout of the nested tensor: `torch.jagged`, or `torch.strided`.

    Returns
    -------
    MaskAdapter
        An encoder of batches `B x n x d`.
    """

    def call(encoder: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = encoder(torch.nested.as_nested_tensor(_sets(x, mask), layout=layout))
        return out

    return MaskAdapter(module, call)


def pyg(module: nn.Module) -> MaskAdapter:
    """Adapt a module of PyTorch Geometric.

    The elements of all sets are passed as one tensor. The signature of `forward` decides how the sets are told apart:
    by the index of the set of each element (`index` or `batch`), or by the position at which each set begins (`ptr`).
    The number of sets is passed too if `forward` takes `dim_size`, `size`, `batch_size` or `num_graphs`. The encoder
    raises ValueError if it returns another number of encodings than there are sets.

    Parameters
    ----------
    module
        A module of `torch_geometric.nn.aggr`, or one with `forward(x, batch)`.

    Returns
    -------
    MaskAdapter
        An encoder from `B x n x d` to `B x d_out`.

    Raises
    ------
    UsageError
        If `forward` takes none of `index`, `batch` and `ptr`, or needs other arguments too.
    """
    parameters = dict(list(inspect.signature(module.forward).parameters.items())[1:])
    name = next((name for name in ("index", "batch", "ptr") if name in parameters), None)
    if name is None:
        what = f"{type(module).__name__}: forward takes none of index, batch, ptr, so pyg is the wrong adapter"
        fix = "if it reads sets B x n x d, it needs none; otherwise use another, or MaskAdapter"
        raise UsageError(f"{what}: {fix} ({ADAPTERS_GUIDE})")
    known = {name, *_SIZE_NAMES, "dim"}
    others = [p.name for p in parameters.values() if p.default is p.empty and p.name not in known and _is_named(p)]
    if others:
        needs = f"{type(module).__name__}: forward needs {', '.join(others)} too"
        raise UsageError(f"{needs}; use MaskAdapter ({PYG_GUIDE})")

    def call(encoder: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = encoder(x[mask], **_arguments(name, parameters, mask))
        if len(out) != len(x):
            raise ValueError(
                f"{len(out)} encodings of {len(x)} sets: without their number, sets without elements get lost"
            )
        return out

    return MaskAdapter(module, call)


def pyg_layer(module: nn.Module) -> MaskAdapter:
    """Adapt a layer of PyTorch Geometric that returns one row per element, such as a normalisation.

    Parameters
    ----------
    module
        A module with `forward(x, batch)`, where `batch` holds the index of the set of each element.

    Returns
    -------
    MaskAdapter
        A layer from `B x n x d` to `B x n x d_out`; rows of masked elements are zero.
    """

    def call(layer: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        rows: Tensor = layer(x[mask], torch.arange(len(mask), device=mask.device).repeat_interleave(mask.sum(1)))
        return rows.new_zeros(*mask.shape, rows.shape[-1]).masked_scatter(mask[..., None], rows)

    return MaskAdapter(module, call)


def _is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _arguments(name: str, parameters: JsonDict, mask: Tensor) -> JsonDict:
    """Return the arguments that tell the encoder to which set each element belongs."""
    sizes = mask.sum(1)
    if name == "ptr":
        values: JsonDict = {name: torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])}
    else:
        values = {name: torch.arange(len(mask), device=mask.device).repeat_interleave(sizes)}
    values |= {size: len(mask) for size in _SIZE_NAMES if size in parameters}
    return values | ({"dim": -2} if "dim" in parameters else {})


def _sets(x: Tensor, mask: Tensor) -> list[Tensor]:
    """Return the present elements of each set, `n_i x d`; a set that is not masked is a view of the batch.

    An encoder that modifies its input thus modifies that of the caller, as it does without an adapter.
    """
    return [x[i] if bool(present.all()) else x[i][present] for i, present in enumerate(mask)]
