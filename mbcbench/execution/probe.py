"""What must be learnt of a plug-in by importing it, learnt where that is safe: in a cell's own process.

`build`: builds an encoder and encodes a small batch. `plan`: asks a suite for its cells. `source`: what a suite is made
of. `law`: reads a law's page. `replay`: tries a recorded counterexample again.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.execution import digest
from mbcbench.execution.suite import PROBE, Device, Experiment, Request, Suite
from mbcbench.protocol import target
from mbcbench.protocol.encoder import has_merge, is_streaming, takes_mask
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EncoderDetail, LawPageDetail, PlanDetail, ProbeDetail, ReplayDetail, SourceDetail
from mbcbench.records.record import Record, Status
from mbcbench.verify.counterexample import replay_counterexample


def run(cell: Cell) -> list[Record]:
    """One record, whose detail says what was learnt; or with the status `usage` what the user has to correct."""
    probes: dict[str, Callable[[Cell], ProbeDetail]] = {
        "build": _encoder,
        "plan": _plan,
        "source": _source,
        "law": _law,
        "replay": _replay,
    }
    try:
        return [cell.record(Status.OK, detail=probes[cell.case](cell))]
    except UsageError as error:
        return [cell.record(Status.USAGE, message=str(error))]


def _encoder(cell: Cell) -> EncoderDetail:
    spec = target.get_spec(cell.encoder)
    width = target.element_width(spec)
    module = target.build_from_spec(spec, dim_in=width, seed=cell.seed).eval()
    target.validate(module, dim_in=width, name=cell.encoder)
    return EncoderDetail(
        summary=spec.summary,
        paper=spec.paper,
        hyper={name: _plain(value) for name, value in spec.hyper.items()},
        claims=dict(spec.claims),
        breaks=dict(spec.breaks),
        slot_readout=spec.slot_readout,
        streaming=is_streaming(module),
        merge=has_merge(module),
        mask=takes_mask(module),
        parameters=sum(p.numel() for p in module.parameters()),
        dim_in=width,
        output_shape=_output_shape(module, width),
        identity={"encoder source": source_digest(cell.encoder, module), "encoder weights": digest.weights(module)},
    )


def source_digest(name: str, module: nn.Module) -> str:
    """A digest of the target's module and of the modules whose classes it built, with what lies beside them."""
    names = {target.import_target_module(name).__name__} | {type(m).__module__ for m in module.modules()}
    return digest.files(digest.sources(names))


def _output_shape(module: nn.Module, width: int) -> list[int]:
    with torch.no_grad():
        return list(module(torch.zeros(1, 3, width, dtype=_dtype(module))).shape)[1:]


def _dtype(module: nn.Module) -> torch.dtype:
    floating = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(floating, torch.get_default_dtype())


def _plan(cell: Cell) -> PlanDetail:
    p = cell.params
    suite: Suite = registry.plugin(registry.SUITES, p["suite"]).load()
    encoders = p["user_encoders"] if suite.experiments else p["encoders"]
    request = Request(encoders=encoders, profile=p["profile"], seed=cell.seed, data=p["data"], device=_device(p))
    cells: dict[str, Cell] = {}
    experiments = {}
    for name, experiment in _experiments(p["suite"], suite, p["only"]).items():
        planned = {c.key: c for c in experiment.cells(request)}
        cells |= planned
        told = {key: getattr(experiment, key) for key in ("title", "where", "columns_by", "only_train_size")}
        experiments[name] = told | {"cells": list(planned)}
    return PlanDetail(
        cells=[asdict(planned) for planned in cells.values()],
        experiments=experiments,
        seconds=suite.seconds[p["profile"]],
        exclusive=suite.exclusive,
    )


def _device(p: Mapping[str, Any]) -> Device:
    if p["device"] == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda, but torch sees no CUDA device here; use --device cpu")
    device: Device = p["device"]
    return device


def _experiments(name: str, suite: Suite, only: Sequence[str]) -> Mapping[str, Experiment]:
    """The experiments chosen, of a suite or all; a suite without any is one. Raises UsageError for an unknown one."""
    known = suite.experiments
    if only and not known:
        raise UsageError(f"--only selects experiments, and the suite {name} has none; leave one of the two out")
    for wanted in only:
        if wanted not in known:
            near = registry.did_you_mean(wanted, known)
            raise UsageError(f"no experiment of {name} is called {wanted!r}{near}; there are {', '.join(known)}")
    if not known:
        return {name: Experiment(title=suite.summary, cells=suite.cells)}
    return {wanted: known[wanted] for wanted in only or known}


def _source(cell: Cell) -> SourceDetail:
    return SourceDetail(identity=source_identity(cell.params["suite"]))


def source_identity(suite: str) -> dict[str, str]:
    """Return digests of a suite's sources and of what they use of mbcbench.

    To be called in a process that has loaded no other suite, whose modules would count too.
    """
    plugin = registry.plugin(registry.SUITES, suite)
    plugin.load()
    sources = digest.sources([plugin.module])
    return {"suite source": digest.files(sources), "harness source": digest.harness(sources)}


def _law(cell: Cell) -> LawPageDetail:
    law = registry.plugin(registry.LAWS, cell.params["law"]).load()
    return LawPageDetail(doc=inspect.getdoc(getattr(law, "check", law)) or "")


def _replay(cell: Cell) -> ReplayDetail:
    p = cell.params
    try:
        replay_counterexample(cell.encoder, p["law"], dict(p["tried"]), dim_in=p["dim_in"], seed=cell.seed)
    except AssertionError as broken:
        return ReplayDetail(counterexample_text=str(broken))
    return ReplayDetail(counterexample_text=None)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


SUITE = Suite(
    name=PROBE,
    summary="what must be learnt of a plug-in by importing it",
    cells=lambda request: [],
    run=run,
    seconds={},
)
