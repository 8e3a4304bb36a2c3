"""Settings of the paper's experiments."""

from mbcbench import paper, registry


def test_labels_name_the_encoder_and_its_hyper_parameters() -> None:
    assert paper.DEEPSETS_MEAN.label == "DeepSets (mean)"
    assert paper.DEEPSETS_MEAN_NETWORK.label == "DeepSets (mean) + network"
    assert (paper.PMA.label, paper.SET_TRANSFORMER.label) == ("PMA", "Set Transformer")
    assert paper.SSE_32.label == "SSE random K=32"
    assert paper.sse("deterministic", 8, h=32, g="max").label == "SSE deterministic (max) K=8 h=32"
    assert paper.DIGIT_HIERARCHY.label == "SSE hierarchy K=32-16 g=mean"


def test_a_label_leads_back_to_its_encoder() -> None:
    labels = {encoder: paper.model_label(encoder, {"num_slots": 4}) for encoder in (*paper.ENCODERS, *paper.NAMES)}
    for more in ("", " no norm", " rescaled"):
        assert {paper.encoder_of(label + more): label for label in labels.values()} == labels


def test_the_encoders_of_the_paper_are_registered_but_that_of_its_code() -> None:
    named = {*paper.ENCODERS, *paper.NAMES}
    assert named - set(registry.plugins(registry.ENCODERS)) == {paper.PUBLISHED_ENCODER}
