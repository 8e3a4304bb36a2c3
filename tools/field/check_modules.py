"""Check modules of one file of adapters: `python check_modules.py JOBS SECONDS '[["FILE:NAME", WIDTH, [LAW]], ...]'`.

The package is imported once; each module is then checked in a forked process of its own, for at most SECONDS. Prints
one line of JSON per module.

`symmetry.padding` finds three things, of which it reports one: padding with finite numbers has an influence, padding
with NaN or infinity has, or a set without any element encodes to NaN. A module that fails it is tried for each of them.
"""

import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from compat import prepare_torchvision
from pebble import ProcessPool
from torch import Tensor, nn

import mbcbench
from mbcbench.adapters import MaskAdapter

Factory = Callable[[int], nn.Module]

EXAMPLES = 400
PADDING = "symmetry.padding"
QUIET = ("pass", "skip", "xfail")
FINITE_VALUE = 1e3


def main(jobs: int, seconds: float, modules: list[tuple[str, int, list[str]]]) -> None:
    """Print the results of each module."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    prepare_torchvision()
    mbcbench.get_spec(modules[0][0])  # imports the package
    with ProcessPool(jobs, max_tasks=1, context=multiprocessing.get_context("fork")) as pool:
        futures = [(arguments[0], pool.schedule(check, arguments, timeout=seconds)) for arguments in modules]
        for target, future in futures:
            try:
                results = future.result()
            except Exception as error:  # the package's own
                results = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps({"target": target, **results}), flush=True)


def check(target: str, width: int, skipped: list[str]) -> dict[str, Any]:
    """Return the statuses of all laws but those skipped, and what is known of those that do not hold."""
    began = time.process_time()
    factory: Any = mbcbench.get_spec(target).factory
    result = mbcbench.check(target, skip_laws=skipped, examples=EXAMPLES, dim_in=width)
    laws = {str(row["case"]): _summary(row) for row in result.to_dict("records")}
    if laws[PADDING]["status"] == "fail":
        kinds = _padding_failures(factory, width)
        laws = {law: summary for law, summary in laws.items() if law != PADDING or not kinds} | kinds
    return {"seconds": round(time.process_time() - began, 1), "laws": laws}


def _padding_failures(factory: Factory, width: int) -> dict[str, Any]:
    """Return the results of the kinds of padding that fail, by `symmetry.padding (KIND)`."""

    def failure(kind: str, *, finite: bool, empty: bool) -> dict[str, Any]:
        target = _with_padding(factory, finite=finite, empty=empty)
        row = mbcbench.check(target, laws=[PADDING], examples=EXAMPLES, dim_in=width).to_dict("records")[0]
        return {f"{PADDING} ({kind})": _summary(row)} if row["status"] in ("fail", "error") else {}

    leak = failure("finite", finite=True, empty=False)
    return leak or failure("NaN", finite=False, empty=False) | failure("no element", finite=True, empty=True)


def _with_padding(factory: Factory, *, finite: bool, empty: bool) -> Factory:
    """Return a factory of an encoder whose padding is finite, or that refuses sets without elements."""

    def call(module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        if not empty and not bool(mask.any(1).all()):
            raise ValueError("a set without elements is left out here")
        padding = x.nan_to_num(FINITE_VALUE, FINITE_VALUE, -FINITE_VALUE) if finite else x
        out: Tensor = module(torch.where(mask[..., None], x, padding), mask=mask)
        return out

    def build(dim_in: int) -> nn.Module:
        return MaskAdapter(factory(dim_in), call)

    return build


def _summary(row: dict[Any, Any]) -> dict[str, Any]:
    """Return the status of a law, and for one that does not hold the smallest counterexample."""
    out = {"status": row["status"]}
    if row["status"] in QUIET:
        return out
    out["message"] = row["message"]
    counterexample, text, culprit = row["detail.counterexample"], row["detail.text"], row.get("detail.culprit")
    if isinstance(counterexample, dict):
        out |= {"n": counterexample["n"], "gap": f"{counterexample['gap']:.2g}", "note": counterexample["note"]}
        out["error"] = counterexample["error"]
    if isinstance(text, str):
        lines = [line.strip() for line in text.splitlines()]
        out["smallest"] = next(line.removeprefix("smallest").strip() for line in lines if line.startswith("smallest"))
    if isinstance(culprit, str):
        out["first_seen"] = culprit
    return {key: value for key, value in out.items() if value not in ("", None)}


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]))
