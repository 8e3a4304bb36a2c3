"""Indexes of the suites and the laws. They import none of them.

The summaries are copies of what the plug-ins say; `tools/update_indexes.py` updates them.
"""

from mbcbench.registry import Index

SUITES = Index(
    __package__,
    {
        "laws": ("laws:SUITE", "random search for counterexamples to the laws"),
        "cad-points": (
            "tasks.point_clouds.suite:CAD_SUITE",
            "classify CAD shapes as clouds of points: the part of point-clouds that the short profiles leave out",
        ),
        "centroids": (
            "tasks.centroids.suite:SUITE",
            "classify by the nearest centroid (prototypical networks), over support sizes and numbers of ways",
        ),
        "gradients": (
            "gradients:SUITE",
            "bias and deviation of the gradients of training on partitions, against the gradient of the full set",
        ),
        "image-completion": (
            "tasks.image_completion.suite:SUITE",
            "complete images from some of their pixels (NLL): contexts in one piece and streamed, larger and smaller",
        ),
        "max-of-set": (
            "tasks.small.max_of_set:SUITE",
            "regress the largest of a set of whole numbers (MAE), with sets as large as in training and larger ones",
        ),
        "mixture-of-gaussians": (
            "tasks.small.mixtures:SUITE",
            "fit mixtures of four Gaussians in the plane in one pass: NLL of the points, streamed in four orders",
        ),
        "paper": ("paper:SUITE", "the paper's tables and figures; a model that several of them show is trained once"),
        "point-clouds": (
            "tasks.point_clouds.suite:SUITE",
            "classify digits and CAD shapes as clouds of points: trained on 100, tested on more, whole and streamed",
        ),
        "resources": (
            "resources.suite:SUITE",
            "throughput, peak memory (measured and predicted), state, parameters and FLOPs, in one piece and streamed",
        ),
        "architectures": (
            "architectures:SUITE",
            "the layers and parameters of the models in the paper's Tables 3 to 8",
        ),
        "consistency": (
            "consistency:SUITE",
            "how far a stream of chunks is from the whole set, by the size and kind of the chunks",
        ),
    },
    default=("laws", "centroids", "image-completion", "point-clouds", "resources"),
    trains=(
        "cad-points",
        "centroids",
        "gradients",
        "image-completion",
        "max-of-set",
        "mixture-of-gaussians",
        "paper",
        "point-clouds",
    ),
)

LAWS = Index(
    __package__,
    {
        "mbc.partition": ("laws.mbc:PARTITION", "Any partition of X, streamed, is encoded like X in one piece."),
        "mbc.order": ("laws.mbc:ORDER", "The order in which chunks arrive does not matter."),
        "mbc.merge": (
            "laws.mbc:MERGE",
            "Merging is associative and commutative, with the fresh state as identity: any tree over the chunks agrees.",
        ),
        "mbc.distributed": (
            "laws.distributed:DISTRIBUTED",
            "Two or three processes with chunks of one set arrive at the encoding and the gradients of a single process.",
        ),
        "mbc.empty": (
            "laws.mbc:EMPTY",
            "An empty chunk changes nothing, wherever it comes; an empty set has a defined encoding or is a clear error.",
        ),
        "mbc.mask": (
            "laws.masks:MASK",
            "Masked elements have no influence in any chunk of a stream, even if all elements of a set are masked.",
        ),
        "hygiene.finite": (
            "laws.sizes:FINITE",
            "A set of finite elements has a finite encoding, from a single element on.",
        ),
        "symmetry.size": (
            "laws.sizes:SIZE",
            "Invariance to order, and to repetition, holds for 256 to 65,537 elements in one piece as it does for small sets.",
        ),
        "symmetry.train": (
            "laws.training:TRAIN",
            "In train mode too, the encoding of a set does not depend on the other sets of the batch.",
        ),
        "mbc.resume": (
            "laws.states:RESUME",
            "A state that is saved to bytes in mid-stream and loaded again continues as if nothing had happened.",
        ),
        "mbc.fork": (
            "laws.states:FORK",
            "A state is a value: continuing from it twice, reading it out, merging it or interleaving streams changes nothing.",
        ),
        "mbc.gradient": (
            "laws.gradients:GRADIENT",
            "The gradient through the stream equals the gradient through the full set, for inputs and every parameter.",
        ),
        "mbc.partial_gradient": (
            "laws.gradients:PARTIAL_GRADIENT",
            "Gradients through one chunk at a time sum to the full gradient; initial state and read-out count once.",
        ),
        "mbc.large": (
            "laws.states:LARGE",
            "Counts, accumulators and caps hold for sets and chunks of ten thousand elements and more.",
        ),
        "mbc.memory": (
            "laws.states:MEMORY",
            "The size of the state does not grow with the number of elements, or only up to a bound.",
        ),
        "mbc.train": (
            "laws.states:TRAIN",
            "In train mode too, a stream agrees with the full set if both start from the same state.",
        ),
        "mbc.program": (
            "laws.program:PROGRAM",
            "Any program of start, feed, merge, fork, save, load and read-out computes what the full set does.",
        ),
        "symmetry.permutation": (
            "laws.symmetry:PERMUTATION",
            "Permuting the elements of a set does not change its encoding.",
        ),
        "symmetry.slots": ("laws.symmetry:SLOTS", "Permuting the slots permutes the output, or leaves it as it is."),
        "symmetry.elements": (
            "laws.symmetry:ELEMENTS",
            "A set-to-set layer is equivariant: permuting the elements permutes its outputs.",
        ),
        "symmetry.batch": (
            "laws.symmetry:BATCH",
            "The encoding of a set does not depend on the other sets of the batch, their order or their number.",
        ),
        "symmetry.padding": ("laws.padding:PADDING", "Masked elements have no influence, whatever their values."),
        "symmetry.replication": (
            "laws.symmetry:REPLICATION",
            "X and (X, X, X) have the same encoding: the encoder is size-free; otherwise it is size-aware.",
        ),
        "hygiene.determinism": (
            "laws.hygiene:DETERMINISM",
            "In eval mode, equal inputs give equal outputs, whatever is encoded in between.",
        ),
        "hygiene.rng": (
            "laws.hygiene:RNG",
            "In eval mode, the global random state and the settings of the process are left unchanged.",
        ),
        "hygiene.inputs": (
            "laws.hygiene:INPUTS",
            "Input and mask are not modified, and the memory layout of the input does not matter.",
        ),
        "hygiene.dtype": (
            "laws.hygiene:DTYPE",
            "Output and state have the dtype of input and parameters; accumulation is not silently narrowed.",
        ),
        "hygiene.nonfinite": (
            "laws.hygiene:NONFINITE",
            "NaN in an element reaches the encoding of its own set; NaN or infinity reaches that of no other set.",
        ),
        "hygiene.state_dict": ("laws.hygiene:STATE_DICT", "Saving and loading a state_dict gives the same encoder."),
        "numerics.scale": (
            "laws.numerics:SCALE",
            "Streams agree with the full set and stay finite for inputs scaled by 1e-3 to 1e4 and offset by 1e3.",
        ),
        "numerics.float32": (
            "laws.numerics:FLOAT32",
            "If the float64 encoding is finite and well inside the range of float32, the float32 one is finite and near it.",
        ),
        "numerics.precision": (
            "laws.numerics:PRECISION",
            "Report the error of streaming against the full set in float32 and bfloat16, in units of the type's epsilon.",
        ),
        "substance.elements": (
            "laws.substance:ELEMENTS",
            "Every element can change the encoding: leaving it out does, moving a coordinate does, a zero element counts.",
        ),
        "substance.slots": ("laws.substance:SLOTS", "The slots can change the encoding."),
        "substance.parameters": ("laws.substance:PARAMETERS", "Every trainable parameter can receive a gradient."),
        "substance.attention": (
            "laws.substance:ATTENTION",
            "The encoder is not a linear pooling of its elements in disguise.",
        ),
        "substance.interactions": (
            "laws.substance:INTERACTIONS",
            "The encoder is additive over elements before the read-out; otherwise it models interactions.",
        ),
        "reference.equal": (
            "laws.reference:EQUAL",
            "The encoder equals an independent reference implementation, if there is one.",
        ),
    },
    slow=("mbc.distributed",),
)
