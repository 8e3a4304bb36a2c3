"""Experiment: laws that decide a claim of the paper without training."""

from mbcbench.execution.suite import Request
from mbcbench.paper import ONE_SLOT, PER_CHUNK_ONE_SLOT, PUBLISHED_32
from mbcbench.records.cell import Cell

from . import laws

# Models with other hyper-parameters than the default ones, for which the specs speak: the law that each is tried on,
# and why the model breaks it. An empty reason withdraws the one of the spec, as the model keeps the law.
_ONE_SLOT_CANCELS = "with one slot, the softmax over slots is 1 for each element, whatever the slot is"
_SUM_CANCELS = "the encoding is a sum over the slots, over which the weights of an element sum to 1"
MODELS = (
    *(("substance.slots", model, _ONE_SLOT_CANCELS) for model in ONE_SLOT),
    ("substance.slots", PUBLISHED_32, _SUM_CANCELS),
    ("mbc.partition", PER_CHUNK_ONE_SLOT, ""),
)


def identities(request: Request) -> list[Cell]:
    """Return the cells of laws that decide a claim without training, on models that the suite of laws does not have."""
    examples = laws.EXAMPLES[request.profile]
    return [
        Cell(
            suite=laws.SUITE.name,
            case=law,
            encoder=model.encoder,
            params={"examples": examples, "hyper": dict(model.hyper), "expected_failures": {law: reason}},
            seed=request.seed,
            dtype="float64",
        )
        for law, model, reason in MODELS
    ]
