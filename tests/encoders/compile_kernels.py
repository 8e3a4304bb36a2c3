"""Compile the Triton kernels for an H100, without one, and print what each takes: one line of JSON per kernel."""

import json
from itertools import product
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mbcbench.encoders.nn import triton_attention, triton_kernels

H100 = GPUTarget("cuda", 90, 32)
LARGEST = {"forward": [(128, 128)], "backward": [(16, 256), (128, 32)]}  # slots, width
TYPES = {"x": "*bf16", "P": "*fp32", "mask": "*i1", "sums": "*fp32", "dU": "*fp32", "dx": "*bf16", "x_set": "i64"}


def compile_kernel(kernel: str, slots: int, width: int, precision: str) -> dict[str, Any]:
    """Return the sizes of a kernel that does all it can: mask, bias, gradient for elements."""
    plan = triton_attention.launch_plan(kernel, (1, 10**6, width), slots, precision, triton_attention.H100_PROCESSORS)
    function = getattr(triton_kernels, kernel)
    constants = {
        "W": width + 1, "D": width, "MASKED": True, "SOFTMAX": slots % 128 > 0, "EPSILON": 1e-8, "NEEDS_DX": True,
        "PRECISION": precision, "BK": plan.BK, "BD": plan.BD, "BN": plan.BN,
    }  # fmt: skip
    names = function.arg_names
    signature = {name: "constexpr" if name in constants else TYPES.get(name, "i32") for name in names}
    aligned = [i for i, name in enumerate(names) if name in TYPES or name == "x_row"]
    source = ASTSource(
        function,
        signature,
        constexprs={name: value for name, value in constants.items() if name in names},
        attrs={(i,): [["tt.divisibility", 16]] for i in aligned},
    )
    compiled = triton.compile(source, target=H100, options={"num_warps": plan.warps, "num_stages": 1})
    sizes = {"kernel": kernel, "slots": slots, "width": width, "precision": precision}
    return {**sizes, "warps": plan.warps, "shared_bytes": compiled.metadata.shared}


if __name__ == "__main__":
    for kernel, sizes in LARGEST.items():
        for (slots, width), precision in product(sizes, ("ieee", "tf32x3")):
            print(json.dumps(compile_kernel(kernel, slots, width, precision)), flush=True)
