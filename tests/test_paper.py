"""Settings of the paper's experiments."""

from mbcbench import paper, registry


def test_labels_name_the_encoder_and_its_hyper_parameters() -> None:
    assert paper.DEEPSETS_MEAN.label == "deepsets-mean"
    assert paper.SSE_32.label == "sse-random K=32"
    assert paper.sse("deterministic", 8, h=32, g="max").label == "sse-deterministic-max K=8 h=32"
    assert paper.DIGIT_HIERARCHY.label == "sse-hierarchical K=32-16 g=mean"


def test_the_encoders_of_the_paper_are_registered() -> None:
    assert set(paper.ENCODERS) <= set(registry.plugins(registry.ENCODERS))
