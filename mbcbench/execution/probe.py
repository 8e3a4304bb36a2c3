"""Probes: cells that import a plug-in and describe it, since only the process of a cell may import plug-ins.

`build` builds an encoder and encodes a small batch. `plan` asks a suite for its cells, and `follow-up` for those that
depend on the records of the first ones. `source` digests the sources of a suite. `prepare` prepares data. `law` reads
the page of a law. `replay` tries a recorded counterexample again.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.execution import digest, prepare
from mbcbench.execution.suite import PROBE, Experiment, PlanParams, Profile, Request, Suite
from mbcbench.protocol.build import build_from_spec, get_spec, import_target_module
from mbcbench.protocol.customize import BuildOptions
from mbcbench.protocol.encoder import has_merge, is_streaming, takes_mask
from mbcbench.protocol.on_device import check_device
from mbcbench.protocol.weights import load_weights
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EncoderDetail, LawPageDetail, PlanDetail, ProbeDetail, ReplayDetail, SourceDetail
from mbcbench.records.record import Record, Status
from mbcbench.types import JsonObject
from mbcbench.verify.counterexample import replay_counterexample
from mbcbench.verify.domain import declared_domain
from mbcbench.verify.validate import element_width, validate, why_width


def run(cell: Cell) -> list[Record]:
    """Return one record with the detail of the probe, or with the status `usage` and a message for the user."""
    probes: dict[str, Callable[[Cell], ProbeDetail]] = {
        "build": _build,
        "plan": _plan,
        "follow-up": _follow_up,
        "source": _source,
        prepare.PREPARE: _prepare,
        "law": _law,
        "replay": _replay,
    }
    try:
        return [cell.record(Status.OK, detail=probes[cell.case](cell))]
    except UsageError as error:
        return [cell.record(Status.USAGE, message=str(error))]


def _build(cell: Cell) -> EncoderDetail:
    options = BuildOptions.from_params(cell.params)
    spec = options.apply(get_spec(cell.encoder))
    dim_in = options.dim_in or element_width(spec)
    module = build_from_spec(spec, dim_in=dim_in, seed=cell.seed).eval()
    domain = declared_domain(spec, module, dim_in)
    validate(module, dim_in=dim_in, name=cell.encoder, domain=domain)
    return EncoderDetail(
        summary=spec.summary,
        paper=spec.paper,
        hyper={name: _to_plain(value) for name, value in spec.hyper.items()},
        claims=dict(spec.claims),
        breaks=dict(spec.breaks),
        slot_readout=spec.slot_readout,
        streaming=is_streaming(module),
        merge=has_merge(module),
        mask=takes_mask(module),
        parameters=sum(p.numel() for p in module.parameters()),
        dim_in=dim_in,
        why_dim_in="" if options.dim_in else why_width(spec),
        weights=_place_of_weights(module, options, cell.encoder),
        output_shape=_output_shape(module, dim_in, domain.min_size),
        identity={"encoder source": source_digest(cell.encoder, module), "encoder weights": digest.weights(module)},
        deliberately_wrong=spec.deliberately_wrong,
    )


def _place_of_weights(module: nn.Module, options: BuildOptions, name: str) -> str:
    """Return the place of the encoder's weights in their file; the encoder has loaded them already."""
    return load_weights(module, Path(options.weights), name, options.weights_key) if options.weights else ""


def source_digest(encoder: str, module: nn.Module) -> str:
    """Return a digest of the sources of the target, and of the classes of the module and its submodules."""
    names = {import_target_module(encoder).__name__} | {type(m).__module__ for m in module.modules()}
    return digest.files(digest.sources(names))


def _output_shape(module: nn.Module, dim_in: int, n: int) -> list[int]:
    floating = (p.dtype for p in module.parameters() if p.is_floating_point())
    dtype = next(floating, torch.get_default_dtype())
    with torch.no_grad():
        return list(module(torch.zeros(1, max(3, n), dim_in, dtype=dtype)).shape)[1:]


def _to_plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _plan(cell: Cell) -> PlanDetail:
    params = PlanParams(**cell.params)
    suite: Suite = registry.plugin(registry.SUITES, params.suite).load()
    check_device(params.device)
    request = _request(params, suite, cell.seed)
    cells: dict[str, Cell] = {}
    experiments: dict[str, JsonObject] = {}
    for name, experiment in _select_experiments(params.suite, suite, params.only).items():
        planned = {c.key: c for c in experiment.cells(request)}
        cells |= planned
        experiments[name] = {
            "title": experiment.title,
            "where": experiment.where,
            "columns_by": experiment.columns_by,
            "only_train_size": experiment.only_train_size,
            "cells": list(planned),
        }
    return PlanDetail(
        cells=[asdict(planned) for planned in cells.values()],
        experiments=experiments,
        seconds=suite.seconds[_profile(params, suite)],
        exclusive=suite.exclusive,
        needs=[_needs(planned, suite) for planned in cells.values()],
        has_follow_up=suite.follow_up is not None,
    )


def _needs(cell: Cell, planned_by: Suite) -> list[JsonObject]:
    """Return the data that a cell needs, according to the suite that runs it."""
    if cell.suite == planned_by.name or cell.suite not in registry.plugins(registry.SUITES):
        suite = planned_by
    else:
        suite = registry.plugin(registry.SUITES, cell.suite).load()
    return [asdict(need) for need in suite.needs(cell)]


def _request(params: PlanParams, suite: Suite, seed: int) -> Request:
    return Request(
        encoders=params.user_encoders if suite.experiments else params.encoders,
        profile=_profile(params, suite),
        seed=seed,
        data=params.data,
        device=params.device,
        seeds=params.seeds,
        reference=params.reference,
        draw=params.draw,
    )


def _profile(params: PlanParams, suite: Suite) -> Profile:
    """Return the profile of a suite's cells: `quick` instead of `standard` if the suite has no such protocol."""
    return "quick" if params.profile == "standard" and "standard" not in suite.seconds else params.profile


def _follow_up(cell: Cell) -> PlanDetail:
    params = PlanParams(**cell.params)
    suite: Suite = registry.plugin(registry.SUITES, params.suite).load()
    assert suite.follow_up is not None
    records = [Record.from_dict(row) for row in params.records]
    cells = suite.follow_up(_request(params, suite, cell.seed), records)
    return PlanDetail(
        cells=[asdict(planned) for planned in cells],
        experiments={},
        seconds=suite.seconds[_profile(params, suite)],
        exclusive=suite.exclusive,
        needs=[_needs(planned, suite) for planned in cells],
    )


def _select_experiments(name: str, suite: Suite, only: Sequence[str]) -> Mapping[str, Experiment]:
    """Return the experiments named in `only`, or all; a suite without experiments counts as one.

    Raises UsageError for an unknown experiment.
    """
    if not suite.experiments:
        if only:
            raise UsageError(f"--only selects experiments, and the suite {name} has none; leave one of the two out")
        return {name: Experiment(title=suite.summary, cells=suite.cells)}
    for experiment in only:
        if experiment not in suite.experiments:
            hint = registry.did_you_mean(experiment, suite.experiments)
            if experiment in registry.plugins(registry.ARTEFACTS):
                hint = f"; it is drawn from other records, see: mbcbench describe {experiment}"
            known = ", ".join(suite.experiments)
            raise UsageError(f"no experiment of {name} is called {experiment!r}{hint}; there are {known}")
    return {experiment: suite.experiments[experiment] for experiment in only or suite.experiments}


def _source(cell: Cell) -> SourceDetail:
    return SourceDetail(identity=source_identity(cell.params["suite"]))


def source_identity(suite: str) -> dict[str, str]:
    """Return digests of a suite's sources and of what they use of mbcbench.

    Call it in a process that has loaded no other suite, whose modules would count too.
    """
    plugin = registry.plugin(registry.SUITES, suite)
    plugin.load()
    sources = digest.sources([plugin.module])
    return {"suite source": digest.files(sources), "harness source": digest.harness(sources)}


def _prepare(cell: Cell) -> ProbeDetail:
    prepare.run_probe(cell)
    return ProbeDetail()


def _law(cell: Cell) -> LawPageDetail:
    law = registry.plugin(registry.LAWS, cell.params["law"]).load()
    return LawPageDetail(doc=inspect.getdoc(getattr(law, "check", law)) or "")


def _replay(cell: Cell) -> ReplayDetail:
    params = cell.params
    try:
        replay_counterexample(
            cell.encoder,
            params["law"],
            params["tried"],
            dim_in=params["dim_in"],
            seed=cell.seed,
            hyper=params["tried"].get("hyper"),
            weights=params["tried"].get("weights", ""),
            weights_key=params["tried"].get("weights_key", ""),
            device=params["tried"].get("device", "cpu"),
            reference=params["tried"].get("reference"),
        )
    except AssertionError as broken:
        return ReplayDetail(counterexample_text=str(broken))
    return ReplayDetail(counterexample_text=None)


SUITE = Suite(
    name=PROBE,
    summary="import plug-ins and describe them",
    cells=lambda request: [],
    run=run,
    seconds={},
)
