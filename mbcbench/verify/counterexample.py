"""Counterexamples: as plain data, as text, as a snippet that fails again, read from records, and replayed."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mbcbench.errors import MALFORMED, UsageError, one_line, plural
from mbcbench.protocol.customize import BuildOptions
from mbcbench.records.cell import Cell
from mbcbench.records.field_types import check_types, types_of
from mbcbench.records.files import CELLS, decode_records, read_cells
from mbcbench.records.schema import read_json
from mbcbench.types import Device, Hyper, JsonDict, JsonObject
from mbcbench.verify.example import KINDS, Example
from mbcbench.verify.law import Law, get_law, has_reference
from mbcbench.verify.law_run import Observation
from mbcbench.verify.search import SearchResult

MAX_CHUNKS = 16  # whose sizes are all listed in a text
REPLAYED = ("fail", "xfail", "error")  # a law without right or wrong shows an example of what it found, too
MIN_RUN = 8  # equal coordinates of an element that are written as a product
MAX_DIGITS = 10  # of the number of a line
MAX_VALUE_LENGTH = 120  # characters of a value in the text of a counterexample


def counterexample_data(observation: Observation, worst: Observation, *, dim_in: int, dtype: str) -> JsonDict:
    """Return a counterexample as plain data, from which `Example.from_json` restores the example."""
    return {
        "n": observation.example.n,
        **observation.example.to_json(),
        **{name: _to_plain(value) for name, value in observation.choices.items()},
        "dim_in": dim_in,
        "dtype": dtype,
        "gap": observation.gap,
        "bound": observation.bound,
        "worst_gap": max(worst.gap, observation.gap),
        "note": observation.note,
        "error": observation.error,
    }


def counterexample_text(target: str, law: Law, result: SearchResult) -> str:
    """Return the counterexample of a search as text, one fact per line."""
    observation = result.counterexample
    assert observation is not None
    example = observation.example
    weights = "as built" if example.variant == 0 else f"perturbed (variant {example.variant})"
    lines = [
        f"{law.id} {'could not be checked on' if observation.error else 'is broken by'} {target}",
        f"  law       {law.statement}",
        f"  smallest  n={example.n}, {_describe_chunks(example.sizes)}, {_describe_data(example)}",
        *(f"  {name}: {_format_value(value)}" for name, value in observation.choices.items()),
        f"  weights   {weights}; data seed {example.seed}",
    ]
    if observation.error:
        lines.append(f"  raised    {observation.error}")
    else:
        note = f"; {observation.note}" if observation.note else ""
        worst_gap = max(result.worst.gap, observation.gap)
        lines.append(f"  gap       {observation.gap:.3g}, bound {observation.bound:.3g}{note}")
        lines.append(f"  worst     gap {worst_gap:.3g} in {plural(result.examples, 'example')}")
    if result.culprit:
        lines.append(f"  first seen in: {result.culprit}")
    if law.fix and not observation.error:  # the advice is about a law that is broken
        lines.append(f"  fix       {law.fix}")
    lines.append(f"  more      mbcbench describe {law.id}")
    return "\n".join(lines)


def reproduction_snippet(
    target: str,
    law: Law,
    example: Example,
    *,
    dim_in: int,
    build_seed: int,
    is_reachable: bool = True,
    options: BuildOptions | None = None,
    reference: str | None = None,
) -> str:
    """Return Python code that fails with the same counterexample.

    If the encoder is a live object that no target string leads to (`is_reachable` is False), the reader fills it in,
    and likewise a `reference` without a name ("").
    """
    placeholder = "" if is_reachable else f"encoder = ...  # the {target} that was checked\n"
    encoder = repr(target) if is_reachable else "encoder"
    changes = "".join(
        f", {name}={value!r}" for name, value in (options or BuildOptions()).to_params().items() if name != "dim_in"
    )
    if reference is not None:
        placeholder += "" if reference else "reference = ...  # the reference that was given\n"
        changes += f", reference={repr(reference) if reference else 'reference'}"
    case = _example_expression(example)
    call = f"mbcbench.replay_counterexample({encoder}, {law.id!r}, {case}, dim_in={dim_in}, seed={build_seed}{changes})"
    return f"import mbcbench\n\n{placeholder}{call}\n"


@dataclass(frozen=True)
class RecordedCounterexample:
    """A counterexample read from a record, with what is needed to try it again.

    Parameters
    ----------
    target, law
        Target string of the encoder, and id of the law.
    example
        The example as plain data.
    dim_in, seed
        Element width and seed that the encoder was built with.
    """

    target: str
    law: str
    example: JsonObject
    dim_in: int
    seed: int


def read_counterexamples(location: str) -> list[RecordedCounterexample]:
    """Return the counterexamples in a file of records, or on one line of it.

    Parameters
    ----------
    location
        `FILE` or `FILE:LINE`: the records of a run, or what `mbcbench check --json` wrote.

    Raises
    ------
    UsageError
        If the file or the line cannot be read, or holds no counterexample.
    """
    path, line = _split_location(location)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read {path} ({one_line(error)}); give FILE or FILE:LINE of a file of records"
        ) from error
    if line is not None and not 1 <= line <= len(lines):
        raise UsageError(f"{path}:{line}: the file has {plural(len(lines), 'line')}; give one from 1 to {len(lines)}")
    numbers = [line] if line is not None else range(1, len(lines) + 1)
    cells = read_cells(path.with_name(CELLS))
    counterexamples = [c for number in numbers for c in _parse_line(path, number, lines[number - 1], cells)]
    if not counterexamples:
        raise UsageError(f"{location} holds no counterexample; records whose status is fail, xfail or error have one")
    return counterexamples


def _split_location(location: str) -> tuple[Path, int | None]:
    name, colon, line = location.rpartition(":")
    return (Path(name), int(line)) if colon and line.isdecimal() and len(line) < MAX_DIGITS else (Path(location), None)


def _parse_line(path: Path, number: int, line: str, cells: Mapping[str, Cell]) -> Iterator[RecordedCounterexample]:
    if not line.strip():
        return
    try:
        content = read_json(line)
        # A run has one line per cell and omits what the cell says; `check --json` writes records with all fields, the
        # detail next to the others.
        is_from_run = "records" in content
        rows = [record.to_fields() for record in decode_records(line, cells).records] if is_from_run else [content]
        for row in rows:
            flat = {**row, **row.get("detail", {})}
            example = flat.get("counterexample")
            if example and flat.get("status", REPLAYED[0]) in REPLAYED:
                fields = {"target": flat["encoder"], "law": flat["law"], "example": example}
                fields |= {"dim_in": example["dim_in"], "seed": flat["seed"]}
                check_types(fields, types_of(RecordedCounterexample))
                yield RecordedCounterexample(**fields)
    except MALFORMED as error:
        raise UsageError(f"{path}, line {number}: not a record ({one_line(error)})") from error


def replay_counterexample(  # noqa: PLR0913 # as many as `mbcbench check` has options
    target: object,
    law_id: str,
    example: JsonObject,
    *,
    dim_in: int,
    seed: int = 0,
    hyper: Hyper | None = None,
    weights: str = "",
    weights_key: str = "",
    device: Device = "cpu",
    reference: object = None,
) -> None:
    """Try a recorded counterexample again.

    Parameters
    ----------
    target
        A target string, or the encoder itself: a spec, class, factory or module.
    law_id
        Id of the law.
    example
        The example as plain data, as in a record's counterexample.
    dim_in
        Element width `d`.
    seed
        Seed that the encoder is built with.
    hyper
        Hyper-parameters that override those of the spec.
    weights
        File with trained weights.
    weights_key
        The dict in that file, or the prefix of its names, that holds them.
    device
        Device on which the encoder runs.
    reference
        Independent implementation for the law `reference.equal`; by default that of the spec.

    Raises
    ------
    AssertionError
        If the law is still broken; the message is the text of the counterexample.
    UsageError
        If the target is not an encoder, or there is no such law.
    BrokenPluginError
        If the encoder cannot be imported or built.
    """
    from mbcbench.verify.checker import Checker  # Checker imports this module

    options = BuildOptions(dim_in=dim_in, hyper=hyper or {}, weights=weights, weights_key=weights_key, device=device)
    checker = Checker(target, seed=seed, options=options, reference=reference)
    law = get_law(law_id)
    if has_reference in law.requires and checker.spec.reference is None:
        raise UsageError(f"{law_id} compares {checker.name} with a reference, which it lacks; give it as reference=...")
    result = checker.replay(law, Example.from_json(example))
    if result is not None:
        raise AssertionError(counterexample_text(checker.name, law, result))


def _describe_chunks(sizes: Sequence[int]) -> str:
    """Return the chunk sizes as text; for many chunks, return only their pattern."""
    period = _period(sizes)
    if len(sizes) <= MAX_CHUNKS:
        return f"chunks {' + '.join(map(str, sizes))}"
    if period == 1:
        return f"{len(sizes):,} chunks of {sizes[0]}"
    if period <= MAX_CHUNKS:
        return f"{len(sizes):,} chunks: {' + '.join(map(str, sizes[:period]))}, repeated"
    return f"{len(sizes):,} chunks of {min(sizes)} to {max(sizes)}"


def _example_expression(example: Example) -> str:
    """Return a Python expression for an example as plain data."""
    fields = {name: json.dumps(value) for name, value in example.to_json().items()}
    fields["sizes"] = _abbreviate_list(example.sizes)
    if example.values is not None:
        fields["x"] = _elements_expression(example.values)
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _elements_expression(elements: Sequence[Sequence[float]]) -> str:
    """Return a Python expression for a list of elements; a wide element is mostly zeros, once it is simplified."""
    return f"[{', '.join(map(_element_expression, elements))}]"


def _element_expression(element: Sequence[float]) -> str:
    runs = [list(run) for _, run in itertools.groupby(element, key=repr)]  # repr tells 0.0 from -0.0
    parts: list[list[float] | str] = []
    for run in runs:
        if len(run) >= MIN_RUN:
            parts.append(f"[{json.dumps(run[0])}] * {len(run)}")
        elif parts and isinstance(parts[-1], list):
            parts[-1] += run
        else:
            parts.append(run)
    return " + ".join(part if isinstance(part, str) else json.dumps(part) for part in parts)


def _abbreviate_list(sizes: Sequence[int]) -> str:
    """Return a Python expression for a list of sizes."""
    period = _period(sizes)
    if len(sizes) <= MAX_CHUNKS or period > MAX_CHUNKS:
        return json.dumps(list(sizes))
    repeated, rest = divmod(len(sizes), period)
    remainder = f" + {list(sizes[:rest])}" if rest else ""
    return f"{list(sizes[:period])} * {repeated}{remainder}"


def _period(sizes: Sequence[int]) -> int:
    """Return the length of the shortest pattern that is repeated, or that of all sizes."""
    sizes = tuple(sizes)
    periods = (period for period in range(1, len(sizes)) if sizes[period:] == sizes[:-period])
    return next(periods, len(sizes))


def _describe_data(example: Example) -> str:
    if example.values is not None:
        is_in_order = example.order in (None, tuple(range(example.n)))
        order = "" if is_in_order else f", arriving in the order {_format_value(example.order)}"
        elements = [_round_floats(list(element)) for element in example.values]
        return f"x = {_shorten(_elements_expression(elements))}{order}"
    kinds = ", ".join(KINDS[kind % len(KINDS)][0] for kind in example.kinds)
    return f"{example.arrangement}, sets: {kinds}"


def _to_plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor | np.ndarray) else value


def _format_value(value: Any) -> str:
    plain = _to_plain(value)
    if isinstance(plain, list) and len(plain) == 1 and isinstance(plain[0], list) and not isinstance(value, list):
        plain = plain[0]  # a tensor for a batch of one set
    return _shorten(json.dumps(_round_floats(plain)))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 3] + "..."


def _round_floats(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return [_round_floats(item) for item in value] if isinstance(value, list | tuple) else value
