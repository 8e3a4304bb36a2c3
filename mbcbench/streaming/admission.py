"""Check that an encoder can encode many sets in one pass: its encoding must not depend on where chunks are cut."""

from torch import Tensor

from mbcbench.errors import BrokenPluginError, UsageError
from mbcbench.protocol.copying import copy_module
from mbcbench.streaming import probe
from mbcbench.streaming.encoder import GuardedEncoder
from mbcbench.verify.check import check

LAW = "mbc.partition"
EXAMPLES = 40  # 0.3 s; a wrong aggregation of chunks fails in the first few
WHOLE_SETS = "encode each set whole (with --sorted, if its rows follow one another)"


def check_consistent(encoder: GuardedEncoder, x: Tensor) -> None:
    """Try an encoder on the first elements (`n x d`), and the law `mbc.partition`.

    Raises UsageError with the reason if it breaks the law, and BrokenPluginError if it cannot encode the elements.
    """
    if len(x) > 1:
        gap = probe.partition_gap(encoder, encoder.init_state(), x[None])
        if gap > probe.TOLERANCE:
            chunks = f"1 + {len(x) - 1}"
            raise _refusal(encoder, f"the first elements in chunks of {chunks} are encoded with a gap of {gap:.2g}")
    try:
        result = check(copy_module(encoder.module).cpu(), laws=[LAW], examples=EXAMPLES, dim_in=x.shape[1]).iloc[0]
    except BrokenPluginError:  # it does not run in float64, in which laws are decided
        return
    if result["status"] == "fail":
        chunks = " + ".join(map(str, result["detail.counterexample"]["sizes"]))
        raise _refusal(encoder, f"a set in chunks of {chunks} is encoded with a gap of {result['value']:.2g}")


def _refusal(encoder: GuardedEncoder, reason: str) -> UsageError:
    return UsageError(f"{encoder.name} breaks {LAW}: {reason}; {WHOLE_SETS}")
