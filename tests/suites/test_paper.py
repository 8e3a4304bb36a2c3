"""The experiments of the paper as cells."""

import pytest

from mbcbench import registry
from mbcbench.execution.suite import Profile, Request
from mbcbench.paper import POOLINGS, PUBLISHED_ENCODER
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status
from mbcbench.suites import paper
from tests.suites.helpers import load_suite, run_cells, sample_target

PROFILES = tuple(paper.SUITE.seconds)

pytestmark = pytest.mark.usefixtures("fake_data")


def trainings(request: Request) -> list[Cell]:
    """Return the cells of the paper without those of laws."""
    return [cell for cell in paper.cells(request) if cell.suite != "laws"]


def test_all_results_of_the_paper_are_experiments() -> None:
    figures = {*(f"fig{n}" for n in (2, 5, 6, 8, 9, 10)), *(f"fig3{x}" for x in "abcd"), *(f"fig4{x}" for x in "abcd")}
    assert set(paper.EXPERIMENTS) == {
        "table1",
        *figures,
        "fig7-slots",
        "fig7-dim",
        "fig7-deterministic",
        "arms",
        "budgets",
        "gradients",
        "identities",
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_every_model_is_a_registered_encoder_that_takes_its_hyper_parameters(profile: Profile) -> None:
    models = {(c.encoder, repr(c.params["hyper"])): c for c in paper.cells(Request(encoders=[], profile=profile))}
    for cell in models.values():
        module = build_from_spec(get_spec(cell.encoder), dim_in=8, **cell.params["hyper"])
        assert list(module.parameters()) or cell.encoder in POOLINGS


@pytest.mark.parametrize("profile", PROFILES)
def test_the_baselines_are_poolings_behind_the_network_that_all_models_share(profile: Profile) -> None:
    expected = {
        "fig2": {"isab-pma", "pma-block"},
        "fig3b": {"mean", "pma-block", "sse-random"},
        "table1": {"max", "isab-pma"},
        "fig4d": {"max"},
        "fig5": {"deepsets-mean"},  # Table 8: with a network
        "fig8": {"mean"},  # Table 6: without
    }
    for name, encoders in expected.items():
        cells = paper.EXPERIMENTS[name].cells(Request(encoders=[], profile=profile))
        assert encoders <= {cell.encoder for cell in cells}
    large = paper.EXPERIMENTS["fig3b"].cells(Request(encoders=[], profile=profile))
    assert {cell.encoder for cell in large} == expected["fig3b"]


@pytest.mark.parametrize("profile", PROFILES)
def test_random_and_deterministic_slots_have_one_read_out_of_one_width(profile: Profile) -> None:
    readouts: dict[str, set[str]] = {}
    for cell in paper.cells(Request(encoders=[], profile=profile)):
        if cell.encoder.startswith(("sse-random", "sse-deterministic")):
            readout = cell.params.get("readout") or get_spec(cell.encoder).slot_readout
            readouts.setdefault(cell.suite, set()).add(readout)
    assert set(map(frozenset, readouts.values())) == {frozenset({"max"})}


@pytest.mark.parametrize("profile", PROFILES)
def test_all_centroids_of_digits_are_as_wide_as_the_features(profile: Profile) -> None:
    for cell in paper.EXPERIMENTS["fig8"].cells(Request(encoders=[], profile=profile)):
        assert cell.params["hyper"].get("dim", cell.params["channels"][-1]) == cell.params["channels"][-1]


def test_figures_that_show_the_same_models_share_their_trainings() -> None:
    request = Request(encoders=[], profile="thorough")
    keys = {name: {c.key for c in e.cells(request)} for name, e in paper.EXPERIMENTS.items()}
    assert keys["fig3b"] == keys["fig3c"] == keys["fig3d"] & keys["fig3a"]
    assert keys["fig4b"] & keys["fig7-slots"] & keys["fig4c"] & keys["fig3a"]
    assert keys["fig4d"] & keys["table1"]
    all_keys = [cell.key for cell in paper.cells(request)]
    assert len(all_keys) == len(set(all_keys)) == len(set.union(*keys.values()))


@pytest.mark.parametrize("name", [name for name in paper.EXPERIMENTS if name != "identities"])
def test_a_users_encoder_joins_every_training_with_its_defaults(name: str) -> None:
    target = sample_target("SumEncoder")
    experiment = paper.EXPERIMENTS[name]
    without = experiment.cells(Request(encoders=[], profile="thorough"))
    joined = experiment.cells(Request(encoders=[target], profile="thorough"))
    added = [c for c in joined if c.encoder == target]
    assert len(joined) == len(without) + len(added)
    assert len(added) >= 3
    assert all(c.params["hyper"] == {} for c in added)


def test_the_thorough_profile_trains_six_seeds_and_three_of_the_largest_clouds() -> None:
    by_model: dict[str, set[int]] = {}
    for cell in trainings(Request(encoders=[], profile="thorough", seed=5)):
        if cell.suite == "gradients":
            continue
        shared = {name: value for name, value in cell.params.items() if name not in ("embeddings", "kept")}
        is_large = cell.suite == "point-clouds" and cell.params["train_size"] >= 1000
        by_model.setdefault(f"{is_large} {cell.case} {cell.encoder} {shared}", set()).add(cell.seed)
    for name, seeds in by_model.items():
        assert seeds == {5, 6, 7, *(() if name.startswith("True") else (8, 9, 10))}


def test_some_models_are_also_trained_for_a_tenth_and_for_three_tenths_of_the_steps() -> None:
    cells = paper.EXPERIMENTS["budgets"].cells(Request(encoders=[], profile="thorough"))
    steps: dict[str, set[int]] = {}
    for cell in cells:
        steps.setdefault(cell.case, set()).add(cell.params["steps"])
    assert steps == {
        "cad-points": {700, 2100, 7000},
        "patches-32": {500, 1500, 5000},
        "mnist-centroids": {200, 600, 2000},
    }


def test_the_arms_are_cases_of_their_own_that_follow_the_text_and_the_code() -> None:
    cells = paper.EXPERIMENTS["arms"].cells(Request(encoders=[], profile="thorough"))
    arms = {cell.case: cell.params for cell in cells}
    assert {case: params["decoder"] for case, params in arms.items()} == {
        "patches-32": "gaussian",
        "patches-32-paper": "paper",
        "patches-32-published": "published",
    }
    assert {case: params["layer_norm"] for case, params in arms.items()} == {
        "patches-32": True,
        "patches-32-paper": False,
        "patches-32-published": True,
    }
    assert {cell.encoder for cell in cells if cell.case == "patches-32-published"} == {"mean", PUBLISHED_ENCODER}


def test_cells_belong_to_the_task_suites_and_run_as_theirs() -> None:
    target = sample_target("SumEncoder")
    cells = [
        cell
        for name in ("fig2", "fig4d")
        for cell in paper.EXPERIMENTS[name].cells(Request(encoders=[target], profile="smoke"))
        if cell.encoder == target
    ]
    assert {c.suite for c in cells} == {"image-completion", "point-clouds"}
    assert all(record.status is Status.OK for cell in cells for record in load_suite("paper").run(cell))


def test_an_experiment_selects_the_records_that_it_shows() -> None:
    experiment = paper.EXPERIMENTS["fig3a"]
    cells = experiment.cells(Request(encoders=[], profile="smoke"))
    (cell,) = [c for c in cells if c.encoder == "pma-block" and c.case == "patches-64"]
    record = run_cells([cell])[0]
    columns = {"suite": record.suite, "metric": record.metric, "detail.mode": record.detail["mode"]}
    assert columns.items() >= {name: value for name, value in experiment.where.items() if value is not None}.items()


def test_the_suite_of_the_paper_is_registered_with_the_tasks() -> None:
    assert {"paper", "image-completion", "centroids", "gradients"} <= set(registry.plugins(registry.SUITES))


def test_pictures_are_recorded_of_two_models_under_the_first_seed() -> None:
    cells = paper.EXPERIMENTS["fig3a"].cells(Request(encoders=[], profile="thorough", seed=5))
    pictured = [(c.encoder, c.seed) for c in cells if c.params["kept"]]
    assert pictured == [("mean", 5), ("sse-random", 5)]


def test_every_task_trains_on_the_requested_device() -> None:
    tasks = set(registry.plugins(registry.SUITES)) - {"architectures", "consistency", "laws", "resources"}
    request = Request(encoders=["a"], profile="thorough", device="cuda")
    cells = [cell for name in tasks - {"paper"} for cell in load_suite(name).cells(request)]
    assert {cell.device for cell in [*cells, *trainings(request)]} == {"cuda"}
