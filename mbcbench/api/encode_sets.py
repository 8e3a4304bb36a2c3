"""Encode many sets: the body of the command `encode` for a table with a column of set ids, and for several files."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mbcbench import registry, system
from mbcbench.errors import STREAMS_GUIDE, Interrupted, UsageError
from mbcbench.protocol.encoder import is_streaming
from mbcbench.protocol.on_device import check_device
from mbcbench.streaming.encode import EncodeOptions, describe_files, encoder_origin
from mbcbench.streaming.encoded_sets import EncodedSets
from mbcbench.streaming.encoder import GuardedEncoder, as_streaming, build_module
from mbcbench.streaming.group_files import GroupFiles, open_group_files
from mbcbench.streaming.groups import GroupedEncoding
from mbcbench.streaming.set_output import check_set_output, open_set_writer
from mbcbench.streaming.states_file import SavedStates, load_states, refuse_repeated, save_states
from mbcbench.streaming.whole_sets import encode_whole_sets

Progress = Callable[[int, int, str], None]  # elements encoded, elements in total, and a note on the pass


@dataclass(frozen=True, kw_only=True)
class SetOptions:
    """Sets to encode, and options of their encodings.

    files: tables with the rows of all sets, or one file per set.
    out: file for the encodings.
    by: column with the id of the set of each row; None if each file is a set.
    whole: encode each set in one piece, from rows that are sorted by set.
    states: file with the states of the sets. If it exists, the rows are added to its states.
    memory: bytes for states; None for half of the machine's memory.
    """

    files: Sequence[Path]
    out: Path
    by: str | None = None
    whole: bool = False
    states: Path | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Summary:
    """Number of sets, and shape of an encoding."""

    sets: int
    shape: tuple[int, ...]


def encode_sets(sets: SetOptions, options: EncodeOptions, progress: Progress) -> Summary:
    """Encode many sets and write a table with one row per set.

    Raises UsageError, BrokenPluginError and Interrupted as `mbcbench.encode` does.
    """
    _check_options(sets)
    system.keep_freed_memory()
    registry.check_target(options.encoder)
    check_device(options.device)
    with options.torch_settings:
        opened = open_group_files(sets.files, sets.by, options.select)
        encoder = _build_encoder(sets, options, opened[0].source.width)
        rows = GroupFiles(opened, encoder.dtype, options.allow_nonfinite)
        try:
            if sets.whole:
                progress(0, rows.length, "")
                encoded = encode_whole_sets(encoder, rows, lambda done: progress(done, rows.length, ""))
                return _write(sets.out, encoded)
            return _encode_streams(sets, options, encoder, rows, progress)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing is stored") from None


def _check_options(sets: SetOptions) -> None:
    check_set_output(sets.out)
    if sets.states is not None:
        system.check_replaceable(sets.states)
        if sets.whole:
            raise UsageError("--states keeps states of streams, and --sorted encodes whole sets; leave one out")
    if len(set(sets.files)) < len(sets.files):
        repeated = next(file for file in sets.files if sets.files.count(file) > 1)
        raise UsageError(f"{repeated} is given more than once; name each file once")


def _build_encoder(sets: SetOptions, options: EncodeOptions, width: int) -> GuardedEncoder:
    module = build_module(options, width)
    if not sets.whole:
        if not is_streaming(module) and options.g is None:
            raise UsageError(
                f"{options.encoder} is a plain module, which needs each set whole; give --sorted and rows that are "
                f"sorted by set, or make it a stream ({STREAMS_GUIDE})"
            )
        module = as_streaming(module, options)
    elif options.g is not None:
        raise UsageError(f"--sorted encodes whole sets, which have no chunks to aggregate; leave out --g {options.g}")
    return GuardedEncoder(module.to(options.device), options.encoder)


def _encode_streams(
    sets: SetOptions, options: EncodeOptions, encoder: GuardedEncoder, rows: GroupFiles, progress: Progress
) -> Summary:
    def show(done: int, number: int, passes: int) -> None:
        note = f"pass {number} of {passes}: " if passes > 1 else ""
        progress((number - 1) * rows.length + done, passes * rows.length, note)

    encoding = GroupedEncoding(encoder, sets.memory, show, is_single_pass=sets.states is not None)
    if sets.states is None:
        return _write(sets.out, encoding.run(rows))
    origin = encoder_origin(options, encoder) | {"width": rows.files[0].source.width, "dtype": str(encoder.dtype)}
    files = describe_files(sets.files)
    if sets.states.exists():
        saved = load_states(sets.states, encoder, origin)
        refuse_repeated(sets.states, saved, sets.files)
        encoding.go_on(saved.ids, saved.layout, saved.states)
        files = [*saved.files, *files]
    summary = _write(sets.out, encoding.run(rows))
    # Saved after the encodings: if this process is killed in between, the same command adds the rows to the old states.
    layout, states = encoding.result()
    save_states(sets.states, SavedStates([*encoding.ids], layout, states, files), origin)
    return summary


def _write(out: Path, encoded: Iterable[EncodedSets]) -> Summary:
    count, shape = 0, ()
    parts = iter(encoded)
    first = next(parts, None)  # before the file is created
    if first is None:
        raise UsageError("the files have no rows, so there is nothing to encode")
    with open_set_writer(out) as writer:
        for part in itertools.chain([first], parts):
            writer.write(part)
            count, shape = count + len(part.ids), part.encodings.shape[1:]
    return Summary(count, shape)
