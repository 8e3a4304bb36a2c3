"""The claims of the Slot Set Encoder paper, in the order of the paper, with the tests of each reading."""

from mbcbench.paper import (
    DEEPSETS_MAX,
    DEEPSETS_MEAN,
    DEEPSETS_MEAN_128,
    DIGIT_HIERARCHY,
    ONE_SLOT,
    PER_CHUNK_ONE_SLOT,
    PMA,
    PUBLISHED_32,
    SET_TRANSFORMER,
    SHAPES,
    SSE_1,
    SSE_16,
    SSE_32,
    SSE_DETERMINISTIC_16,
    SSE_MEAN_128,
    Filter,
    hierarchy,
    model_label,
    sse,
)

from ..selection import NO_NORM, RESCALED
from .claim_verdicts import Claim
from .contrasts import (
    ACCURACY,
    ACCURACY_MARGIN,
    NLL_MARGIN,
    STREAMED_CLOUDS,
    TRAINING_LOSS,
    TRAINING_TIME,
    Contrast,
    Quantity,
    aggregation_contrast,
    better_in_ablation,
    better_than,
    changed_slots,
    chunked_loss,
    digits_setting,
    image_setting,
    improvement,
    improves_with_size,
    lead_growth,
    partition_speed,
    partition_training,
    streamed_setting,
    train_size_setting,
    ways_setting,
)
from .law_verdicts import Holds, breaks, has_no_effect

PARTITION, SLOTS_MATTER = "mbc.partition", "substance.slots"
DEEPSETS, POOLING_BY_ATTENTION = DEEPSETS_MEAN.label, PMA.label
# On ImageNet the paper's DeepSets has a network (Table 8); on MNIST it is a mean (Table 6).
DEEPSETS_128 = DEEPSETS_MEAN_128.label
# Scalings of encodings in the tasks on centroids: that of a Slot Set Encoder shrinks with the number of its slots.
SSE_128, STACK = SSE_MEAN_128.label, DIGIT_HIERARCHY.label

# Parts that several readings of one claim share: id, place in the paper, statement.
C1_WHERE = "Prop. 2.1, App. C.1"
C7_SAYS = f"with random slots, K can be changed at test time: the NLL stays within {NLL_MARGIN}"
C11_IMPROVE = "trained on 1000 pixels, DeepSets and SSE improve as 2000-4000 stream in"
C11_AHEAD = "trained on 1000 pixels, SSE stays ahead of DeepSets at 2000-4000"
C12_IMPROVE = "trained on 1000 pixels, DeepSets and SSE improve as 200-500 stream in"
C12_AHEAD = "trained on 1000 pixels, SSE stays ahead of DeepSets at 200-500"
C13_WHERE = "Fig. 3d, Sec. 2.5"
C13_FASTER = "trained on mini-batches, a model converges faster"
C13_GENERALISES = (
    f"trained on mini-batches, a model generalises to the full set (an NLL within {NLL_MARGIN} of full training's)"
)
C15_SAYS = "random slots beat deterministic slots"
C17_SAYS = "K between 32 and 128 is best"
C18_SAYS = "a larger slot dimension is better"


def _labels(*encoders: str) -> tuple[str, ...]:
    """Return the labels of encoders with their default hyper-parameters."""
    return tuple(map(model_label, encoders))


def _hierarchy_is_mbc(reading: str, label: str) -> Claim:
    return Claim("C5", reading, "Sec. 2.4, eq. 6", "the hierarchy is MBC", (Holds(PARTITION, (label,)),))


def _has_interactions(reading: str, encoder: str) -> Claim:
    says = "a stack models pairwise and higher-order interactions"
    return Claim("C6", reading, "Sec. 2.4", says, (breaks("substance.interactions", _labels(encoder)),))


def _chunks_lose(order: str, chunk: int) -> Claim:
    says = "a Set Transformer loses likelihood on mini-batches"
    return Claim("C9", f"{order}, chunks of {chunk}", "Fig. 2", says, (chunked_loss(chunk, order),))


def _lower_nll(slots: int, size: int) -> Claim:
    """Return a claim of Figure 3a: a Slot Set Encoder against both others."""
    model, setting = sse("random", slots).label, image_setting(size)
    tests = (better_than(model, DEEPSETS, setting), better_than(model, POOLING_BY_ATTENTION, setting))
    return Claim("C10", f"K={slots}, {size} pixels", "Fig. 3a", "SSE has a lower NLL than DeepSets and PMA", tests)


def _ahead_when_streamed(model: str, chunk: int, *sizes: int) -> list[Contrast]:
    return [better_than(model, DEEPSETS, streamed_setting(chunk, size)) for size in sizes]


def _faster(estimator: str, unit: str, quantity: Quantity) -> Claim:
    return Claim("C13", f"{estimator}: faster {unit}", C13_WHERE, C13_FASTER, (partition_speed(estimator, quantity),))


def _lead_grows(reading: str, model: str, rival: str) -> Claim:
    says = "the harder the way, the larger SSE's lead over DeepSets"
    return Claim("C21", reading, "Fig. 5", says, (lead_growth(model, rival, 5, 1000),))


def _ahead_on_digits(reading: str, model: str, rival: str) -> Claim:
    says = "on MNIST, SSE is ahead of DeepSets at every size of the support"
    tests = tuple(better_than(model, rival, digits_setting(size), ACCURACY) for size in (1, 10, 100))
    return Claim("C23", reading, "Fig. 8", says, tests)


def _more_accurate_on_shapes(models: tuple[str, ...], sizes: tuple[int, ...]) -> list[Contrast]:
    """Return contrasts of Table 1: each model against DeepSets and the Set Transformer."""
    return [
        better_than(model, rival.label, train_size_setting(SHAPES, size), ACCURACY)
        for size in sizes
        for model in models
        for rival in (DEEPSETS_MAX, SET_TRANSFORMER)
    ]


def _points(size: int) -> Filter:
    return {**STREAMED_CLOUDS, "detail.test_size": size}


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C1",
        "as written",
        C1_WHERE,
        "f and g of Algorithm 1 are MBC for g in {sum, mean, max, min}",
        (Holds(PARTITION, _labels("sse-random", "sse-literal-mean", "sse-literal-max", "sse-literal-min")),),
    ),
    Claim(
        "C1",
        "exact states",
        C1_WHERE,
        "with states that keep counts and extrema, they are MBC",
        (Holds(PARTITION, _labels("sse-random", "sse-random-mean", "sse-random-max", "sse-random-min")),),
    ),
    Claim(
        "C2",
        "",
        "Prop. 2.2, App. C.2",
        "invariant to permutations of elements, equivariant to those of slots",
        (
            Holds("symmetry.permutation", _labels("sse-random", "sse-deterministic")),
            Holds("symmetry.slots", _labels("sse-random", "sse-deterministic")),
        ),
    ),
    Claim(
        "C3",
        "",
        "Sec. 2.3",
        "a softmax, even over the slots, breaks MBC",
        (breaks(PARTITION, _labels("sse-softmax-slots")),),
    ),
    Claim(
        "C4",
        "",
        "Table 2",
        "original DeepSets, Set Transformer and FSPool fail MBC",
        (breaks(PARTITION, _labels("deepsets-original", "set-transformer", "fspool")),),
    ),
    _hierarchy_is_mbc("run per chunk, 16 slots at the top", model_label("sse-hierarchical-per-chunk")),
    # With one slot at the top everything is linear, and a sum over chunks is the whole.
    _hierarchy_is_mbc("run per chunk, K_T = 1 as in eq. 6", PER_CHUNK_ONE_SLOT.label),
    _hierarchy_is_mbc("level by level", model_label("sse-hierarchical")),
    _has_interactions("K_T = 1 as in eq. 6", "sse-hierarchical-k1"),
    # When streamed, upper levels run in the read-out, which the law does not inspect.
    _has_interactions("16 slots at the top, in one piece", "sse-hierarchical-per-chunk"),
    Claim("C7", "half and double", "Sec. 2.3", C7_SAYS, (changed_slots(16, 32), changed_slots(64, 32))),
    Claim(
        "C7",
        "a sixteenth to fourfold",
        "Sec. 2.3",
        C7_SAYS,
        (changed_slots(2, 32), changed_slots(8, 32), changed_slots(128, 32)),
    ),
    Claim(
        "C7",
        "as good as trained with it",
        "Sec. 2.3",
        C7_SAYS,
        (changed_slots(64, 64), changed_slots(128, 128)),
    ),
    Claim(
        "C8",
        "",
        "Sec. 2.1, 2.3",
        "sets of any size: memory does not grow with n",
        (
            Holds("mbc.memory", _labels("sse-random", "mean")),
            Holds("mbc.large", _labels("sse-random", "mean")),
        ),
    ),
    _chunks_lose("random", 50),
    _chunks_lose("random", 10),
    _chunks_lose("random", 1),
    _chunks_lose("rows", 50),
    _chunks_lose("rows", 10),
    _lower_nll(1, 200),
    _lower_nll(1, 400),
    _lower_nll(1, 500),
    _lower_nll(1, 1000),
    _lower_nll(32, 200),
    _lower_nll(32, 400),
    _lower_nll(32, 500),
    _lower_nll(32, 1000),
    Claim(
        "C11",
        "improve",
        "Fig. 3b",
        C11_IMPROVE,
        (
            improves_with_size(DEEPSETS, 1000, 1000, 4000),
            improves_with_size(SSE_1.label, 1000, 1000, 4000),
            improves_with_size(SSE_32.label, 1000, 1000, 4000),
        ),
    ),
    Claim(
        "C11",
        "ahead",
        "Fig. 3b",
        C11_AHEAD,
        (
            *_ahead_when_streamed(SSE_1.label, 1000, 2000, 3000, 4000),
            *_ahead_when_streamed(SSE_32.label, 1000, 2000, 3000, 4000),
        ),
    ),
    Claim(
        "C12",
        "improve",
        "Fig. 3c",
        C12_IMPROVE,
        (
            improves_with_size(DEEPSETS, 100, 100, 500),
            improves_with_size(SSE_1.label, 100, 100, 500),
            improves_with_size(SSE_32.label, 100, 100, 500),
        ),
    ),
    Claim(
        "C12",
        "ahead",
        "Fig. 3c",
        C12_AHEAD,
        (
            *_ahead_when_streamed(SSE_1.label, 100, 200, 300, 400, 500),
            *_ahead_when_streamed(SSE_32.label, 100, 200, 300, 400, 500),
        ),
    ),
    _faster("partition", "per step", TRAINING_LOSS),
    _faster("partition", "per second", TRAINING_TIME),
    Claim("C13", "partition: generalises", C13_WHERE, C13_GENERALISES, (partition_training("partition"),)),
    _faster("unbiased", "per step", TRAINING_LOSS),
    _faster("unbiased", "per second", TRAINING_TIME),
    Claim("C13", "unbiased: generalises", C13_WHERE, C13_GENERALISES, (partition_training("unbiased"),)),
    Claim(
        "C14",
        "g over chunk encodings",
        "Fig. 4a",
        "mean and sum beat min and max",
        (
            aggregation_contrast("mean", "min"),
            aggregation_contrast("mean", "max"),
            aggregation_contrast("sum", "min"),
            aggregation_contrast("sum", "max"),
        ),
    ),
    Claim(
        "C14",
        "trained with g",
        "Fig. 4a",
        "the sum beats the exact elementwise min and max",
        (
            better_in_ablation(SSE_1.label, sse("random", 1, g="min").label),
            better_in_ablation(SSE_1.label, sse("random", 1, g="max").label),
        ),
    ),
    # With one slot, the slots cancel: both models are the same function, and only their initial weights differ.
    Claim("C15", "K=1", "Fig. 4b", C15_SAYS, (has_no_effect(SLOTS_MATTER, ONE_SLOT),)),
    # The published code sums over the slots, which cancels their attention for any K.
    Claim("C15", "published code", "Fig. 4b", C15_SAYS, (has_no_effect(SLOTS_MATTER, (PUBLISHED_32,)),)),
    Claim("C15", "K=32", "Fig. 4b", C15_SAYS, (better_in_ablation(SSE_32.label, sse("deterministic", 32).label),)),
    Claim(
        "C16",
        "",
        "Fig. 4c",
        "stacking helps, and hurts beyond four levels",
        (
            better_in_ablation(hierarchy([1] * 4, 256).label, SSE_1.label),
            better_in_ablation(hierarchy([1] * 4, 256).label, hierarchy([1] * 5, 512).label),
        ),
    ),
    Claim(
        "C17",
        "",
        "Fig. 7",
        C17_SAYS,
        tuple(
            better_in_ablation(sse("random", best).label, sse("random", worse).label)
            for best in (32, 64, 128)
            for worse in (1, 256)
        ),
    ),
    Claim("C17", "published code", "Fig. 7", C17_SAYS, (has_no_effect(SLOTS_MATTER, (PUBLISHED_32,)),)),
    # Slots without effect have no effect at any width.
    Claim("C18", "published code", "Fig. 7", C18_SAYS, (has_no_effect(SLOTS_MATTER, (PUBLISHED_32,)),)),
    Claim("C18", "deterministic, K=1", "Fig. 7", C18_SAYS, (has_no_effect(SLOTS_MATTER, ONE_SLOT[1:]),)),
    Claim(
        "C18",
        "deterministic, K=32",
        "Fig. 7",
        C18_SAYS,
        (better_in_ablation("SSE deterministic K=32 h=256", "SSE deterministic K=32 h=32"),),
    ),
    Claim(
        "C19",
        "below 5000",
        "Table 1",
        "SSE beats DeepSets and Set Transformer",
        tuple(_more_accurate_on_shapes((SSE_16.label, SSE_DETERMINISTIC_16.label), (100, 200, 500, 1000))),
    ),
    Claim(
        "C19",
        "g = max, at 100",
        "Table 1",
        "SSE with the paper's g, over elements, beats DeepSets and Set Transformer",
        tuple(_more_accurate_on_shapes(("SSE random (max) K=16", "SSE deterministic (max) K=16"), (100,))),
    ),
    Claim(
        "C19",
        "at 5000",
        "Table 1",
        f"DeepSets is on par with SSE (within {ACCURACY_MARGIN})",
        (
            better_than(
                SSE_16.label, DEEPSETS_MAX.label, train_size_setting(SHAPES, 5000), ACCURACY, expects_equality=True
            ),
        ),
    ),
    Claim(
        "C20",
        "DeepSets degrades",
        "Fig. 4d",
        "trained on 100 points, DeepSets degrades at 200-500",
        tuple(improvement(DEEPSETS_MAX.label, _points(n), _points(100), ACCURACY) for n in (200, 500)),
    ),
    Claim(
        "C20",
        "SSE improves",
        "Fig. 4d",
        "trained on 100 points, SSE improves at 200-500",
        tuple(improvement(SSE_16.label, _points(100), _points(n), ACCURACY) for n in (200, 500)),
    ),
    _lead_grows("behind a LayerNorm", SSE_128, DEEPSETS_128),
    _lead_grows("as in the paper", f"{SSE_128} {NO_NORM}", f"{DEEPSETS_128} {NO_NORM}"),
    _lead_grows("multiplied by K", f"{SSE_128} {RESCALED}", f"{DEEPSETS_128} {NO_NORM}"),
    Claim(
        "C22",
        "level",
        "Fig. 6",
        f"SSE and DeepSets are level at 20 ways (within {ACCURACY_MARGIN})",
        (better_than(SSE_128, DEEPSETS_128, ways_setting(20), ACCURACY, expects_equality=True),),
    ),
    Claim(
        "C22",
        "ahead",
        "Fig. 6",
        "SSE is ahead at 1000 ways",
        (better_than(SSE_128, DEEPSETS_128, ways_setting(1000), ACCURACY),),
    ),
    _ahead_on_digits("behind a LayerNorm", STACK, DEEPSETS),
    _ahead_on_digits("as in the paper", f"{STACK} {NO_NORM}", f"{DEEPSETS} {NO_NORM}"),
    _ahead_on_digits("multiplied by K", f"{STACK} {RESCALED}", f"{DEEPSETS} {NO_NORM}"),
    Claim(
        "C24",
        "",
        "Fig. 9, 10",
        "centroids get more accurate as more of the set is encoded",
        tuple(improvement(model, digits_setting(1), digits_setting(100), ACCURACY) for model in (DEEPSETS, STACK)),
    ),
)
