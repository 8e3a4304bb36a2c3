"""Encode sets that are larger than memory, and more sets than fit into memory."""

from mbcbench.streaming.groups import encode_groups as encode_groups
