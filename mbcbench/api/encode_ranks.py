"""Encode one set over several processes: the body of the command `encode` under torchrun."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace

import torch.distributed as dist
from torch import Tensor

from mbcbench import registry, system
from mbcbench.errors import BrokenPluginError, Interrupted
from mbcbench.protocol.on_device import check_device
from mbcbench.streaming.encode import EncodeOptions, Encoding, check_checkpoint, ranks_origin
from mbcbench.streaming.encoder import build_encoder
from mbcbench.streaming.ranks import RankEncoding, check_merging, process_group
from mbcbench.streaming.sources import open_parts

logger = logging.getLogger(__name__)


def encode_over_ranks(options: EncodeOptions, progress: Callable[[int, int], None]) -> Tensor | None:
    """Encode a set together with the other ranks; return the encoding on rank 0, and None on the others.

    Raises UsageError and BrokenPluginError as `mbcbench.encode` does.
    """
    system.keep_freed_memory()
    registry.check_target(options.encoder)
    check_device(options.device)
    threads = max(1, options.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    options = replace(options, threads=threads)
    with options.torch_settings:
        check_checkpoint(options)
        source = open_parts([options.path, *options.parts], options.select)
        try:
            with process_group(options.device) as device:
                encoder = build_encoder(options, source.width)
                encoding = Encoding(options, source, encoder)
                check_merging(encoding)
                if dist.get_rank() == 0 and (warning := encoding.consistency_warning()):
                    logger.warning("warning: %s", warning)
                return RankEncoding(encoding, ranks_origin(options, source, encoder), device).run(progress)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted{_stored(options)}") from None
        except BrokenPluginError as error:
            raise BrokenPluginError(f"{error}{_stored(options)}") from error


def _stored(options: EncodeOptions) -> str:
    """Return a clause about the checkpoint, or an empty string if there is none."""
    if options.checkpoint is None or not options.checkpoint.exists():
        return ""
    return f"; {options.checkpoint} holds what was encoded, go on with --resume and any number of ranks"
