"""Adapters for encoders that follow another convention.

An encoder with the methods `init_state`, `update`, `readout` (and `merge`) needs no adapter: its state may be any
combination of tuples, dicts and dataclasses of tensors. Adapters of whole sets can be nested: each changes one thing.
"""

from mbcbench.adapters.layouts import channels_first, declare, select_output, sequence_first, tokens
from mbcbench.adapters.masks import MaskAdapter, additive_mask, compacted, inverted_mask, renamed_mask, with_lengths
from mbcbench.adapters.ragged import list_of_sets, nested, pyg, pyg_layer, set_by_set
from mbcbench.adapters.steps import (
    MergingStatefulAdapter,
    MergingStepsAdapter,
    MergingStreamByStreamAdapter,
    RecurrentAdapter,
    StatefulAdapter,
    StepsAdapter,
    StreamByStreamAdapter,
)

__all__ = [
    "MaskAdapter",
    "MergingStatefulAdapter",
    "MergingStepsAdapter",
    "MergingStreamByStreamAdapter",
    "RecurrentAdapter",
    "StatefulAdapter",
    "StepsAdapter",
    "StreamByStreamAdapter",
    "additive_mask",
    "channels_first",
    "compacted",
    "declare",
    "inverted_mask",
    "list_of_sets",
    "nested",
    "pyg",
    "pyg_layer",
    "renamed_mask",
    "select_output",
    "sequence_first",
    "set_by_set",
    "tokens",
    "with_lengths",
]
