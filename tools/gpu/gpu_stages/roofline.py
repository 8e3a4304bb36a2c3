"""Lower bounds of time: bytes by the rate of memory, operations by the rate of the unit that does them."""

from dataclasses import dataclass

GIGA, TERA = 1e9, 1e12


@dataclass(frozen=True)
class Ceilings:
    """Rates of a device, per second.

    memory: bytes read or written. link: bytes copied from pinned memory.
    ieee, tf32, bf16: floating-point operations of products; `tf32x3` takes three of tf32.
    """

    memory: float
    link: float
    ieee: float
    tf32: float
    bf16: float

    def flops(self, precision: str) -> float:
        """Return the rate of products in a precision of `triton_attention.PRECISIONS`."""
        return self.tf32 / 3 if precision == "tf32x3" else float(getattr(self, precision))


# Of the data sheets: SXM, dense. The link is PCIe 5.0 with sixteen lanes.
H100 = Ceilings(memory=3.35 * TERA, link=64 * GIGA, ieee=67 * TERA, tf32=494 * TERA, bf16=989 * TERA)

FLOPS = {"forward": 4, "parameters": 10, "elements": 14}  # per element, slot and number
READS = {"forward": 1, "parameters": 2, "elements": 2}  # of all elements; their gradient is written as well


@dataclass(frozen=True)
class Cost:
    """Bytes and floating-point operations that something takes at least."""

    bytes: float
    flops: float

    def seconds(self, ceilings: Ceilings, precision: str) -> float:
        """Return the shortest time."""
        return max(self.bytes / ceilings.memory, self.flops / ceilings.flops(precision))


def fold_cost(shape: tuple[int, ...], step: str, itemsize: int) -> Cost:
    """Return the cost of the weighted sum over `B x n x d` elements with K slots (`shape` is B, n, d, K, d_hat).

    Logits and sums are products of K d multiplications and additions; the gradient computes the logits again.
    """
    B, n, d, K, _ = shape
    scalars = B * n * d
    passes = READS[step] + (step == "elements")
    return Cost(bytes=float(scalars * itemsize * passes), flops=float(FLOPS[step] * scalars * K))
