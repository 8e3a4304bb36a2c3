"""The machine: device, driver and versions, and the rates that the device reaches at best."""

import json
import platform
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from statistics import median
from typing import Any

import torch

from mbcbench import system
from mbcbench.suites.resources.measurement import repeat_for

from .roofline import Ceilings
from .stage import Options, parse


def describe(options: Options) -> dict[str, Any]:
    """Return what a page and records say of the machine."""
    return {
        "kind": "machine",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry": options.dry,
        "device": system.processor() if options.dry else torch.cuda.get_device_name(),
        "driver": _driver(),
        "versions": system.versions() | {"triton": _triton(), "cuda": torch.version.cuda},
        "hardware": system.hardware(),
        "system": platform.system(),
        "ceilings": asdict(measure_ceilings(options)),
    }


def measure_ceilings(options: Options) -> Ceilings:
    """Return the rates of a copy within the device, of one from the host, and of products of large matrices."""
    size, scalars = (256, 2**16) if options.dry else (8192, 2**28)
    return Ceilings(
        memory=_copy_rate(options, scalars),
        link=_link_rate(options, scalars // 4),
        ieee=_product_rate(options, size, torch.float32, "highest"),
        tf32=_product_rate(options, size, torch.float32, "high"),
        bf16=_product_rate(options, size, torch.bfloat16, "highest"),
    )


def _copy_rate(options: Options, scalars: int) -> float:
    a = torch.randn(scalars, device=options.device)
    b = torch.empty_like(a)
    return 2 * a.nbytes / _seconds(options, lambda: b.copy_(a))


def _link_rate(options: Options, scalars: int) -> float:
    a = torch.randn(scalars)
    a = a if options.dry else a.pin_memory()
    b = torch.empty_like(a, device=options.device)
    return a.nbytes / _seconds(options, lambda: b.copy_(a, non_blocking=True))


def _product_rate(options: Options, size: int, dtype: torch.dtype, precision: str) -> float:
    a = torch.randn(size, size, device=options.device).to(dtype)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        return 2 * size**3 / _seconds(options, lambda: a @ a)
    finally:
        torch.set_float32_matmul_precision(before)


def _seconds(options: Options, action: Any) -> float:
    action()
    return float(median(repeat_for(0.001 if options.dry else 0.3, options.meter, action)))


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip()


def _triton() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return str(triton.__version__)


if __name__ == "__main__":
    chosen = parse(__doc__)
    with chosen.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(describe(chosen)) + "\n")
