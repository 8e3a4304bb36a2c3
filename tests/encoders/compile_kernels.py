"""Compile the Triton kernels for an H100 by the calls that would launch them, without a device.

Prints one line of JSON per kernel: what it takes, and how many variants were compiled for sets of several lengths.
"""

import json
import os
from itertools import product
from typing import Any

os.environ["TRITON_DISABLE_LINE_INFO"] = "1"  # which takes a tenth of the time

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from mbcbench.encoders.nn import triton_attention
from mbcbench.encoders.nn.slot_weights import SlotSigmoid, SlotSoftmax

LENGTHS = (1000, 1024, 77, 1)
SIZES = {
    "forward": [(128, 128), (64, 256), (1, 3)],
    "backward": [(16, 256), (128, 32), (1, 3)],
}  # slots, width; the largest first


class H100:
    """Stands in for Triton's driver, which would ask the device what it is."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def note_kernels() -> list[Any]:
    """Compile kernels in place of launching them; return the list that they are added to."""
    kernels: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernels.append(run(self, *args, grid=grid, warmup=True, **options))
        return kernels[-1]

    JITFunction.run = compile_only
    return kernels


def call(kernel: str, slots: int, width: int, n: int) -> None:
    """Make the call that launches a kernel which does all it can: mask, bias, gradient for elements."""
    x, P = torch.empty(2, n, width, dtype=torch.bfloat16), torch.empty(2, slots, width + 1)
    mask, rule = torch.ones(2, n, dtype=torch.bool), SlotSoftmax() if slots % 128 else SlotSigmoid()
    assert triton_attention.supports(kernel, x, P, rule)
    if kernel == "forward":
        triton_attention.weighted_sum(x, P, rule, mask)
    else:
        triton_attention.weighted_sum_backward(x, P, rule, mask, P, needs_dx=True)


def main() -> None:
    driver.set_active(H100())
    kernels = note_kernels()
    for kernel, sizes in SIZES.items():
        for (slots, width), precision in product(sizes, ("highest", "high")):
            torch.set_float32_matmul_precision(precision)
            kernels.clear()
            for n in LENGTHS:
                call(kernel, slots, width, n)
            row = {"kernel": kernel, "slots": slots, "width": width, "precision": precision}
            row |= {"shared_bytes": kernels[0].metadata.shared, "variants": len({id(k) for k in kernels})}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
