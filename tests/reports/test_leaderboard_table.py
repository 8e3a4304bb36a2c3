from typing import Any

import pandas as pd
import pytest

from mbcbench.records.record import Record, Status, frame
from mbcbench.reports.leaderboard.table import NOTHING_RANKED, leaderboard_table, notes


def test_encoders_that_lack_seeds_are_marked(records: pd.DataFrame) -> None:
    table = leaderboard_table(records).set_index("encoder")
    hanging, crashing = table.loc["hanging"], table.loc["crashing"]
    assert (hanging["accuracy.seeds"], hanging["accuracy.expected"], hanging["accuracy.lost"]) == (2, 3, "1 timeout")
    assert (crashing["accuracy.seeds"], crashing["accuracy.lost"]) == (0, "3 crash")
    assert hanging["accuracy"] > table["accuracy"].drop("hanging").max()


def test_a_seed_without_any_record_is_missing(records: pd.DataFrame) -> None:
    gone = records["encoder"].eq("leaky") & records["seed"].eq(2)
    row = leaderboard_table(records[~gone]).set_index("encoder").loc["leaky"]
    assert row["accuracy.lost"] == "1 missing"


def test_costs_are_those_of_the_largest_set(records: pd.DataFrame) -> None:
    table = leaderboard_table(records).set_index("encoder")
    at = records[records["detail.n"].eq(10_000) & records["encoder"].eq("sse-random")]
    for slot, metric, mode in (
        ("throughput", "throughput", "one piece"),
        ("memory", "peak_memory", "one piece"),
        ("memory.streamed", "peak_memory", "streamed"),
    ):
        expected = at.loc[at["metric"].eq(metric) & at["detail.mode"].eq(mode), "value"].item()
        assert table.at["sse-random", slot] == expected
    assert table.at["hanging", "throughput.lost"] == "1 missing"


def test_encoders_that_were_asked_for_and_left_nothing_have_a_row(records: pd.DataFrame) -> None:
    table = leaderboard_table(records, ["absent"])
    assert table.loc[table["encoder"] == "absent", "accuracy.lost"].item() == "3 missing"
    assert "No records at all of absent." in notes(records, {"run": "x"}, table)


@pytest.mark.parametrize(
    ("suite", "note"),
    [
        ("laws", "No records of laws: the laws were not checked."),
        ("point-clouds", "No records of point-clouds: accuracy was not measured."),
        ("resources", "No records of resources: throughput and memory were not measured."),
    ],
)
def test_a_suite_that_is_absent_is_named(records: pd.DataFrame, suite: str, note: str) -> None:
    part = records[records["suite"] != suite]
    assert note in notes(part, {"run": "x"}, leaderboard_table(part))


def test_what_an_encoder_lacks_is_named(records: pd.DataFrame) -> None:
    lines = notes(records, {"run": "x"}, leaderboard_table(records))
    assert lines == [
        "No record of hygiene.inputs, resources for hanging.",
        NOTHING_RANKED,
    ]


def test_encoders_that_lack_the_same_are_named_together(records: pd.DataFrame) -> None:
    lacking = records["encoder"].isin(["leaky", "set-transformer"]) & records["suite"].eq("resources")
    part = records[~lacking]
    assert "No record of resources for set-transformer and leaky." in notes(part, {"run": "x"}, leaderboard_table(part))


def test_no_records_and_no_description_are_said_to_be_missing(records: pd.DataFrame) -> None:
    for empty in (pd.DataFrame(), frame([])):
        table = leaderboard_table(empty)
        assert table.empty
        assert notes(empty, {}, table)[0].startswith("There are no records")
    assert notes(records, {}, leaderboard_table(records))[0].startswith("There is no description")


def test_devices_are_never_averaged_together(records: pd.DataFrame) -> None:
    fast = records["encoder"].eq("leaky") & records["suite"].eq("resources")
    mixed = records.assign(device=records["device"].mask(fast, "cuda:0"))
    table = leaderboard_table(mixed)
    assert table.set_index("encoder").at["leaky", "throughput.lost"] == "1 missing"
    note = "The records of resources are mixed: device cpu is shown, and cuda:0 left out."
    assert note in notes(mixed, {"run": "x"}, table)


def test_accuracy_is_shown_as_broken_where_no_size_was_reached() -> None:
    lost = [
        Record(suite="point-clouds", case="mnist-points", encoder="a", status=Status.OOM, seed=seed) for seed in (0, 1)
    ]
    row = leaderboard_table(frame(lost)).iloc[0]
    assert (row["accuracy.status"], row["accuracy.lost"]) == ("oom", "2 oom")


def test_a_broken_cell_speaks_only_for_the_setting_it_was_asked_for() -> None:
    shared: dict[str, Any] = {"suite": "resources", "case": "encode", "encoder": "a"}
    late = Record(**shared, status=Status.OOM, params={"n": 1000, "mode": "one piece"})
    detail = {"n": 1000, "mode": "streamed"}
    fine = Record(**shared, status=Status.OK, metric="peak_memory", value=64.0, params=detail, detail=detail)
    row = leaderboard_table(frame([late, fine])).iloc[0]
    assert (row["memory.status"], row["memory.streamed"], row["memory.streamed.lost"]) == ("oom", 64.0, "")
    assert row["throughput.status"] == "oom"


def completion(encoder: str, seed: int, *, plateau: bool) -> list[Record]:
    records = []
    for size, mode in ((100, "one piece"), (400, "streamed")):
        detail = {"test_size": size, "train_size": 100, "mode": mode, "order": "random", "aggregation": "own"}
        records.append(
            Record(
                suite="image-completion", case="patches-32", encoder=encoder, status=Status.OK, seed=seed, metric="nll",
                value=0.1 * seed, params={"hyper": {}}, detail={**detail, "plateau": plateau},
            )
        )  # fmt: skip
    return records


def test_every_task_has_columns_and_models_that_have_not_learnt_are_counted(records: pd.DataFrame) -> None:
    more = [r for seed in (1, 3) for r in completion("leaky", seed, plateau=False)]
    more += [r for seed in (1, 3) for r in completion("sse-random", seed, plateau=seed == 3)]
    both = pd.concat([records, frame(more)])
    table = leaderboard_table(both).set_index("encoder")
    assert table.at["leaky", "nll"] == pytest.approx(0.2)
    assert table["nll.streamed.unlearnt"].to_dict()["leaky"] == 0
    assert table["nll.streamed.unlearnt"].to_dict()["sse-random"] == 1
    assert table.at["hanging", "nll.lost"] == "2 missing"
