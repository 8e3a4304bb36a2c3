import pandas as pd

from my_plugin import REPORT

RECORDS = pd.DataFrame(
    {
        "suite": ["laws", "laws", "laws", "resources"],
        "cell": ["a", "b", "b", "c"],
        "seconds": [1.0, 2.0, 2.0, 5.0],
    }
)


def test_the_slowest_suite_comes_first() -> None:
    lines = str(REPORT.terminal(RECORDS, {"run": "monday"})).splitlines()
    assert lines[0] == "monday"
    assert lines[-2].split() == ["resources", "1", "5.0"]
    assert lines[-1].split() == ["laws", "2", "3.0"]


def test_the_page_has_the_same_table() -> None:
    assert "resources" in REPORT.html(RECORDS, {"run": "monday"})
