"""`mbcbench describe`: describe an encoder, a law or another plug-in."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.errors import BrokenPluginError, ExitCode, UsageError
from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    from mbcbench.records.detail import EncoderDetail
    from mbcbench.registry import Plugin


def describe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A registered name, or the TARGET of an encoder.",
            autocompletion=complete_names("encoders", "laws", "suites", "reports", "artefacts"),
        ),
    ],
) -> int:
    """Describe an encoder, a law, a suite, a report or an artefact.

    TARGET is package.module:attr or path/to/file.py:attr.

    \b
    Examples:
      mbcbench describe mbc.partition
      mbcbench describe sse-random
      mbcbench describe my.py:Encoder
    """
    from mbcbench import registry

    if name.startswith("law:"):  # the only spelling in earlier releases
        _print_law(registry.plugin(registry.LAWS, name.removeprefix("law:")).name)
        return ExitCode.AS_CLAIMED
    groups = [group for group in registry.GROUPS if name in registry.plugins(group)]
    if not groups:
        _check_encoder(name)
        groups = [registry.ENCODERS]
    for group in groups:
        if group == registry.ENCODERS:
            _print_encoder(name)
        elif group == registry.LAWS:
            _print_law(name)
        else:
            _print_plugin(group, registry.plugin(group, name))
    return ExitCode.AS_CLAIMED


def _check_encoder(name: str) -> None:
    """Raise UsageError if a name that is not registered is not the target of an encoder either."""
    from mbcbench import registry

    if ":" in name or name.endswith(".py"):
        registry.check_target(name)
        return
    laws = [law for law in registry.plugins(registry.LAWS) if law.startswith(f"{name}.")]
    if laws:
        raise UsageError(f"{name} is a group of laws; describe one of {', '.join(laws)}")
    known = [known for group in registry.GROUPS for known in registry.plugins(group)]
    raise UsageError(f"no plug-in is called {name!r}{registry.did_you_mean(name, known)}; see: mbcbench list")


def _print_law(law: str) -> None:
    from mbcbench.cli.console import print_line
    from mbcbench.records.detail import LawPageDetail

    print_line(LawPageDetail.from_dict(_probe("law", law, law=law)).doc)


def _print_encoder(target: str) -> None:
    from mbcbench.cli.console import facts, print_out
    from mbcbench.records.detail import EncoderDetail

    detail = EncoderDetail.from_dict(_probe("build", target, encoder=target))
    print_out(facts(encoder_facts(target, detail)), markup=False)


def _probe(case: str, name: str, **params: Any) -> JsonObject:
    """Import a plug-in in a process of its own and return the detail of the record."""
    from mbcbench.execution import planner
    from mbcbench.records.record import BROKEN

    record = planner.run_probe(case, **params)
    if record.status in BROKEN:
        raise BrokenPluginError(record.message if name in record.message else f"{name} broke: {record.message}")
    return record.detail


def encoder_facts(target: str, detail: "EncoderDetail") -> JsonDict:
    """Return the facts about an encoder, by name."""
    output = " x ".join(["B", *map(str, detail.output_shape)])
    steps = [
        "streams" if detail.streaming else "plain: forward only",
        *(["merges"] if detail.merge else []),
        *(["takes a mask"] if detail.mask else []),
    ]
    return {
        "encoder": target,
        "summary": detail.summary,
        "paper": detail.paper,
        "shapes": f"B x n x {detail.dim_in} -> {output}",
        "steps": ", ".join(steps),
        "hyper": detail.hyper,
        "claims": detail.claims,
        "breaks": detail.breaks,
        "parameters": detail.parameters,
        **({"slot_readout": detail.slot_readout} if len(detail.output_shape) > 1 else {}),
        **({"ranked": "never: deliberately wrong"} if detail.deliberately_wrong else {}),
    }


def _print_plugin(group: str, plugin: "Plugin") -> None:
    from mbcbench import registry
    from mbcbench.cli.console import facts, print_out

    commands = {
        registry.SUITES: f"mbcbench run --suite {plugin.name}",
        registry.REPORTS: f"mbcbench show --report {plugin.name}",
        registry.ARTEFACTS: f"mbcbench report --only {plugin.name}",
    }
    rows = {
        group.rpartition(".")[2].removesuffix("s"): plugin.name,
        "summary": plugin.summary,
        "defined in": plugin.target,
        "from": plugin.distribution,
        "command": commands[group],
        "records from": _maker(plugin) if group == registry.ARTEFACTS else "",
        "experiments": _experiments(plugin.name) if group == registry.SUITES else {},
    }
    print_out(facts(rows), markup=False)


def _maker(artefact: "Plugin") -> str:
    """Return the command that makes the records of an artefact."""
    from mbcbench.api.report import explain_reports
    from mbcbench.errors import explain_missing_libraries

    with explain_missing_libraries(), explain_reports(artefact.name):
        return str(artefact.load().make)


def _experiments(suite: str) -> dict[str, str]:
    """Return the titles of a suite's experiments, which `run --only` selects."""
    from mbcbench.records.detail import PlanDetail

    request = {"profile": "smoke", "data": "auto", "device": "cpu", "encoders": [], "user_encoders": [], "only": []}
    detail = PlanDetail.from_dict(_probe("plan", suite, suite=suite, **request))
    return {name: str(experiment["title"]) for name, experiment in detail.experiments.items() if name != suite}
