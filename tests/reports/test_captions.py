"""Captions: the result comes first, then the claim and its verdict; the data sets are named once."""

import re

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.records.record import Record, frame
from mbcbench.reporting import Artefact
from mbcbench.reports.captions import ACCURACY, NLL, Caption, ClaimText, Reading, compare_series
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.rendered import RenderedArtefact, in_order, render
from mbcbench.reports.selection import label_models
from tests.cli.report_records import cloud, clouds

SERIES = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b", "c"],
        "x": [200, 1000, 200, 1000, 200],
        "value": [0.5, 0.2, 0.4, 0.3, 0.9],
    }
)


def artefact(name: str) -> Artefact:
    loaded: Artefact = registry.plugin(registry.ARTEFACTS, name).load()
    return loaded


def rendered(name: str, records: list[Record]) -> RenderedArtefact:
    rows, drawn = label_models(frame(records)), artefact(name)
    return render(drawn, rows, claims_table(rows, [claim for claim in CLAIMS if claim.id in drawn.claims]), [])


def test_a_caption_begins_with_the_result_and_names_claim_verdict_and_data_in_this_order() -> None:
    readings = (Reading("small", "refuted", "A is worse by 1", 0), Reading("large", "undecided", "no records", 1))
    caption = Caption("B is best", "How to read it.", (ClaimText("C5", "A is best", readings),), "photographs")
    assert str(caption) == (
        "Result: B is best. How to read it. Claim (C5): A is best. Verdict: refuted (small): A is worse by 1; "
        "undecided (large): no records. Data: photographs."
    )
    assert caption.markdown() == (
        "**Result:** B is best.\n\nHow to read it.\n\n**Claim (C5):** A is best. **Verdict:**\n\n"
        "- refuted (small): A is worse by 1.\n- undecided (large): no records.\n\n**Data:** photographs.\n"
    )


def test_a_claim_is_never_stated_as_if_it_were_the_result() -> None:
    text = str(rendered("table1", clouds(-0.05)).caption)
    assert text.startswith("Result: The mean accuracy of SSE random K=16 is higher than that of DeepSets (max) at no")
    claim = text.index("SSE beats DeepSets and Set Transformer")
    assert text[:claim].endswith("Claim (C19): ")
    assert text[claim:].startswith("SSE beats DeepSets and Set Transformer. Verdict: refuted (below 5000): SSE ")


def test_the_data_are_named_once_and_without_a_hint_for_repairs() -> None:
    data = "5,000 shapes as shipped in x (pip install --force-reinstall x)"
    text = str(rendered("table1", clouds(data=data)).caption)
    assert text.count("5,000 shapes as shipped in x (stand-in)") == 1
    assert "pip install" not in text


def test_a_difference_says_its_unit_and_its_direction() -> None:
    caption = rendered("table1", [*clouds(0.05), cloud("sse-random-max", 100, 0, 0.9)]).caption
    assert re.search(r"accuracy higher by 0\.0\d{3} ± 0\.0\d{3} \(6 seeds\)", str(caption))


@pytest.mark.parametrize("name", sorted(registry.plugins(registry.ARTEFACTS)))
def test_every_artefact_with_a_claim_says_what_was_measured(name: str) -> None:
    loaded = artefact(name)
    assert loaded.result is not None or not loaded.claims


def test_the_best_series_and_the_means_are_named_with_unit_and_direction() -> None:
    assert compare_series(SERIES, NLL, "{} pixels") == (
        "Lowest mean NLL (nats per value, lower is better): b at 200 pixels; a at 1,000 pixels. "
        "Mean NLL at 200 to 1,000 pixels: a 0.500 to 0.200, b 0.400 to 0.300; mean NLL at 200 pixels: c 0.900"
    )
    assert compare_series(SERIES[SERIES["model"].ne("c")], ACCURACY, "{} points").startswith(
        "Highest mean accuracy (higher is better): a at 200 points; b at 1,000 points."
    )


def test_a_series_that_is_always_the_best_is_named_once() -> None:
    table = SERIES.assign(value=[0.1, 0.1, 0.2, 0.2, 0.3])
    assert "a throughout." in compare_series(table, NLL)


def test_categories_are_listed_in_their_order() -> None:
    table = pd.DataFrame({"series": ["s"] * 3, "g": ["sum", "max", "min"], "value": [0.1, 0.2, 0.3]})
    assert compare_series(table, NLL, hue="series", x="g") == "Means of s: sum 0.100, max 0.200, min 0.300"


def bare(name: str) -> RenderedArtefact:
    empty = Artefact(id=name, title="", caption="", data=lambda rows: rows)
    return RenderedArtefact(empty, pd.DataFrame(), Caption("", "", (), ""))


def test_figure_2_comes_before_figure_10_and_tables_before_figures() -> None:
    names = ["fig10", "memory", "fig2", "table10", "claims", "fig3b", "table2", "fig3a"]
    assert [each.id for each in in_order(map(bare, names))] == [
        "claims", "table2", "table10", "fig2", "fig3a", "fig3b", "fig10", "memory",
    ]  # fmt: skip
