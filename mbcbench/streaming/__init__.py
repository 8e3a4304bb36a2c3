"""Sets larger than memory, and more sets than fit into it."""

from mbcbench.streaming.groups import encode_groups as encode_groups
