"""Index of the encoders. It imports none of them.

The summaries are copies of what the plug-ins say; `tools/update_indexes.py` updates them.
"""

from mbcbench.registry import Index

ENCODERS = Index(
    __package__,
    {
        "sse-random": ("sse:SSE_RANDOM", "Slot Set Encoder, random slots, sum over elements"),
        "sse-random-mean": ("sse:SSE_RANDOM_MEAN", "Slot Set Encoder, random slots, mean over elements"),
        "sse-random-max": ("sse:SSE_RANDOM_MAX", "Slot Set Encoder, random slots, max over elements"),
        "sse-random-min": ("sse:SSE_RANDOM_MIN", "Slot Set Encoder, random slots, min over elements"),
        "sse-deterministic": ("sse:SSE_DETERMINISTIC", "Slot Set Encoder, deterministic slots, sum over elements"),
        "sse-deterministic-mean": (
            "sse:SSE_DETERMINISTIC_MEAN",
            "Slot Set Encoder, deterministic slots, mean over elements",
        ),
        "sse-deterministic-max": (
            "sse:SSE_DETERMINISTIC_MAX",
            "Slot Set Encoder, deterministic slots, max over elements",
        ),
        "sse-deterministic-min": (
            "sse:SSE_DETERMINISTIC_MIN",
            "Slot Set Encoder, deterministic slots, min over elements",
        ),
        "sum": (
            "plain_pooling:SUM",
            "The sum of the elements, without a network: the paper's DeepSets as a pooling layer",
        ),
        "mean": (
            "plain_pooling:MEAN",
            "The mean of the elements, without a network: the paper's DeepSets as a pooling layer",
        ),
        "max": (
            "plain_pooling:MAX",
            "The max of the elements, without a network: the paper's DeepSets as a pooling layer",
        ),
        "min": (
            "plain_pooling:MIN",
            "The min of the elements, without a network: the paper's DeepSets as a pooling layer",
        ),
        "deepsets-sum": ("deepsets:DEEPSETS_SUM", "DeepSets, a network per element, then the sum"),
        "deepsets-mean": ("deepsets:DEEPSETS_MEAN", "DeepSets, a network per element, then the mean"),
        "deepsets-max": ("deepsets:DEEPSETS_MAX", "DeepSets, a network per element, then the max"),
        "deepsets-min": ("deepsets:DEEPSETS_MIN", "DeepSets, a network per element, then the min"),
        "deepsets-original": (
            "deepsets_original:DEEPSETS_ORIGINAL",
            "DeepSets as published for point clouds: PermEqui layers, tanh, max pool",
        ),
        "deepsets-original-mean": (
            "deepsets_original:DEEPSETS_ORIGINAL_MEAN",
            "DeepSets as published for point clouds: PermEqui layers, elu, mean pool",
        ),
        "set-transformer": ("set_transformer:SET_TRANSFORMER", "Set Transformer: two ISAB blocks, then PMA"),
        "set-transformer-sab": ("set_transformer:SET_TRANSFORMER_SAB", "Set Transformer: two SAB blocks, then PMA"),
        "isab-pma": (
            "set_transformer:ISAB_PMA",
            "One ISAB block, then PMA: the paper's Set Transformer as a pooling layer",
        ),
        "sse-softmax-slots": (
            "sse:SSE_SOFTMAX_SLOTS",
            "Slot Set Encoder, random slots, softmax over slots in place of the normalised sigmoid, sum over elements",
        ),
        "sse-hierarchical": (
            "sse_hierarchical:SSE_HIERARCHICAL",
            "Hierarchical Slot Set Encoder, 32 then 16 slots, aggregated level by level",
        ),
        "sse-hierarchical-k1": (
            "sse_hierarchical:SSE_HIERARCHICAL_K1",
            "Hierarchical Slot Set Encoder ending in one slot, as the paper writes it: linear sum pooling",
        ),
        "sse-hierarchical-per-chunk": (
            "sse_hierarchical:SSE_HIERARCHICAL_PER_CHUNK",
            "Hierarchical Slot Set Encoder, the whole stack run on each chunk",
        ),
        "sse-literal-mean": (
            "sse_literal:SSE_LITERAL_MEAN",
            "Slot Set Encoder, the unweighted mean of chunk encodings, as Algorithm 1 writes",
        ),
        "sse-literal-max": (
            "sse_literal:SSE_LITERAL_MAX",
            "Slot Set Encoder, the max over chunk encodings, as Algorithm 1 writes",
        ),
        "sse-literal-min": (
            "sse_literal:SSE_LITERAL_MIN",
            "Slot Set Encoder, the min over chunk encodings, as Algorithm 1 writes",
        ),
        "sse-mean-of-chunk-means": (
            "sse_literal:SSE_MEAN_OF_CHUNK_MEANS",
            "Slot Set Encoder, the unweighted mean of means over chunks",
        ),
        "attention-pooling": (
            "attention_pooling:ATTENTION_POOLING",
            "Attention pooling of a network per element, softmax over elements in one pass",
        ),
        "attention-pooling-gated": (
            "attention_pooling:ATTENTION_POOLING_GATED",
            "Gated attention pooling of a network per element, softmax over elements in one pass",
        ),
        "pma": ("pma:PMA_SINGLE_PASS", "Pooling by multihead attention after a network per element, in one pass"),
        "pma-block": (
            "pma:PMA_BLOCK",
            "Pooling by multihead attention of the elements themselves: the paper's PMA as a pooling layer",
        ),
        "umbc": ("umbc:UMBC", "UMBC: slots attend to the set in one pass, then to one another in the read-out"),
        "perceiver": (
            "perceiver:PERCEIVER",
            "Perceiver encoder without positions: latents read the set once, then attend to one another",
        ),
        "slot-attention": ("slot_attention:SLOT_ATTENTION", "Slot Attention, three iterations"),
        "fspool": ("fspool:FSPOOL", "Featurewise sort pooling after a network per element"),
        "janossy": ("janossy:JANOSSY", "Janossy pooling: the mean of a network over ordered pairs of elements"),
        "moments": ("moments:MOMENTS", "Mean and variance of a network per element"),
        "variance": ("moments:VARIANCE", "Variance of a network per element"),
        "top-k": ("topk:TOP_K", "The k elements of the largest learned score, gated by it"),
    },
)
