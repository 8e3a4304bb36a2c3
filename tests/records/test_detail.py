"""Details of records as mappings."""

from mbcbench.records import detail
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status

TRAINING = detail.TrainingDetail(
    data="fake",
    train_size=10,
    steps=5,
    train_seconds=1.0,
    ms_per_step=200.0,
    train_loss=0.5,
    parameters=3,
    curve=[(5, 0.5)],
)


def test_fields_that_are_none_are_left_out() -> None:
    cost = detail.CostDetail(n=10, mode="one piece", dim=2, batch=1, input_bytes=80)
    assert cost.to_dict() == {"n": 10, "mode": "one piece", "dim": 2, "batch": 1, "input_bytes": 80}


def test_a_law_that_holds_has_a_counterexample_of_none() -> None:
    law = detail.LawDetail(law="a.law", statement="it holds", bound=1e-9, examples=9, worst_gap=0.0)
    assert law.to_dict()["counterexample"] is None
    assert "card" not in law.to_dict()
    assert detail.UntriedLawDetail(law="a.law", examples=0).to_dict() == {"law": "a.law", "examples": 0}


def test_aggregations_of_a_law_become_mappings_too() -> None:
    pairs = {"mean": detail.PairDetail(consistent=True, examples=3)}
    law = detail.LawDetail(law="a.law", statement="it holds", bound=0.0, examples=3, worst_gap=0.0, pairs=pairs)
    assert law.to_dict()["pairs"] == {"mean": {"consistent": True, "examples": 3, "counterexample": None}}


def test_a_score_has_the_keys_of_its_test_and_of_its_training() -> None:
    test = detail.EvaluationDetail(mode="streamed", test_size=20, chunk_size=5)
    score = detail.ScoreDetail(test=test, training=TRAINING).to_dict()
    assert score.items() >= {"mode": "streamed", "chunk_size": 5, "train_size": 10, "train_loss": 0.5}.items()
    assert "order" not in score


def test_a_cell_records_a_detail_as_a_mapping() -> None:
    record = Cell(suite="s", case="c", encoder="e").record(Status.OK, detail=TRAINING)
    assert record.detail == TRAINING.to_dict()


def test_the_detail_of_a_probe_is_read_back() -> None:
    plan = detail.PlanDetail(cells=[], experiments={}, seconds=60.0, exclusive=True, needs=[])
    assert detail.PlanDetail.from_dict({**plan.to_dict(), "peak_rss_bytes": 1}) == plan
