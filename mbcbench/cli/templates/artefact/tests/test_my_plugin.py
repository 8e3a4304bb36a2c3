import pandas as pd

from my_plugin import ARTEFACT


def test_statuses_are_counted_by_law() -> None:
    records = pd.DataFrame(
        {
            "suite": ["laws", "laws", "laws", "resources"],
            "case": ["mbc.order", "mbc.order", "mbc.merge", "time"],
            "status": ["pass", "fail", "pass", "ok"],
        }
    )
    table = ARTEFACT.data(records).set_index("law")
    assert table.loc["mbc.order"].to_dict() == {"fail": 1, "pass": 1}
    assert table.loc["mbc.merge"].to_dict() == {"fail": 0, "pass": 1}


def test_without_laws_there_is_nothing_to_draw() -> None:
    assert ARTEFACT.data(pd.DataFrame({"suite": ["resources"], "case": [""]})).empty
