"""Encode a set that may be larger than memory: `mbcbench.encode`, and the body of the command `encode`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from mbcbench import registry, system
from mbcbench.errors import Interrupted, UsageError, check_positive
from mbcbench.protocol.build import shorten
from mbcbench.protocol.encoder import Aggregation
from mbcbench.streaming.encode import EncodeOptions, Encoding, open_encoding
from mbcbench.types import Device, Hyper

logger = logging.getLogger(__name__)


def encode(
    file: str | Path,
    encoder: str,
    *,
    hyper: Hyper | None = None,
    weights: str | Path | None = None,
    weights_key: str = "",
    seed: int = 0,
    g: Aggregation | None = None,
    select: Sequence[str] = (),
    chunk: int | None = None,
    threads: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    seconds_between_checkpoints: float = 10.0,
    allow_nonfinite: bool = False,
    device: Device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Encode a set that may be larger than memory, streamed from its file.

    Parameters
    ----------
    file
        File that holds a set, `n x d`: .npy, .npz, .pt, .csv, .tsv, Parquet, Arrow, HDF5 or Zarr.
    encoder
        Target: a registered name, `package.module:attr` or `path/to/file.py:attr`.
    hyper
        Hyper-parameters; by default those of the encoder's spec.
    weights
        Trained weights: a `state_dict` that torch or safetensors saved, or a checkpoint that holds one.
    weights_key
        The dict in that file, or the prefix of its names, that holds the weights; by default the only one that fits.
    seed
        Seed of the weights (without `weights`) and of random slots.
    g
        Aggregation of the chunk encodings of a module that does not stream by itself.
    select
        Columns of a table, or the array of a group of arrays; by default all.
    chunk
        Elements per chunk; by default a number that suits the encoder.
    threads
        Threads of the encoder; by default as many as there are cores.
    checkpoint
        File that stores the state at intervals and after Ctrl-C.
    resume
        Continue from the checkpoint if it exists.
    seconds_between_checkpoints
        Time between two checkpoints.
    allow_nonfinite
        Encode NaN and infinity instead of refusing them.
    device
        Where the encoder runs. On `cuda` the threads read the file into pinned memory.
    progress
        Called with the number of elements encoded so far and the size of the set, at first before any is encoded.

    Returns
    -------
    Tensor
        The encoding, without a batch dimension.

    Raises
    ------
    UsageError
        If an argument or the file cannot be used.
    BrokenPluginError
        If the code of the encoder raises.
    Interrupted
        After Ctrl-C. The checkpoint, if there is one, is up to date.
    """
    check_positive(chunk=chunk, threads=threads)
    if not isinstance(encoder, str):  # a checkpoint cannot identify the sources of an object
        raise UsageError(f"encoder={shorten(encoder)}: give a target such as 'my.py:Encoder', and weights=FILE")
    options = EncodeOptions(
        path=Path(file),
        encoder=encoder,
        hyper=hyper or {},
        weights=None if weights is None else Path(weights),
        weights_key=weights_key,
        seed=seed,
        g=g,
        select=select,
        chunk=chunk,
        threads=threads or system.cores(),
        checkpoint=None if checkpoint is None else Path(checkpoint),
        resume=resume,
        seconds=seconds_between_checkpoints,
        allow_nonfinite=allow_nonfinite,
        device=device,
    )
    return encode_file(options, progress or (lambda done, total: None))


def encode_file(options: EncodeOptions, progress: Callable[[int, int], None]) -> Tensor:
    """Encode a file with the given options (see `encode`)."""
    system.keep_freed_memory()
    registry.check_target(options.encoder)
    with options.torch_settings:
        encoding = open_encoding(options)
        if warning := encoding.consistency_warning():
            logger.warning("warning: %s", warning)
        _run_to_end(encoding, progress)
        return encoding.result()


def _run_to_end(encoding: Encoding, progress: Callable[[int, int], None]) -> None:
    total = encoding.source.length
    try:
        progress(encoding.start.elements, total)
        for done in encoding.steps():
            progress(done, total)
    except KeyboardInterrupt:
        so_far = f"interrupted after {encoding.position.elements:,} of {total:,} elements"
        if encoding.options.checkpoint is None:
            raise Interrupted(f"{so_far}; nothing is stored: --checkpoint STATE would have stored it") from None
        encoding.save_checkpoint()
        raise Interrupted(f"{so_far}; stored in {encoding.options.checkpoint}") from None
