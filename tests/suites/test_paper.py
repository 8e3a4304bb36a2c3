"""The paper's tables and figures as data."""

import pytest

from mbcbench import registry
from mbcbench.execution.suite import PROFILES, Profile, Request
from mbcbench.protocol.target import build_from_spec, get_spec
from mbcbench.records.record import Status
from mbcbench.suites import paper as experiments
from tests.suites.helpers import run, sample, suite

pytestmark = pytest.mark.usefixtures("fake_data")


def test_all_of_the_papers_results_are_there_and_the_gradients() -> None:
    figures = {*(f"fig{n}" for n in (2, 5, 6, 8, 9, 10)), *(f"fig3{x}" for x in "abcd"), *(f"fig4{x}" for x in "abcd")}
    assert set(experiments.EXPERIMENTS) == {
        "table1",
        *figures,
        "fig7-slots",
        "fig7-dim",
        "fig7-deterministic",
        "gradients",
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_every_model_is_a_registered_encoder_that_takes_its_hyper_parameters(profile: Profile) -> None:
    models = {(c.encoder, repr(c.params["hyper"])): c for c in experiments.cells(Request(encoders=[], profile=profile))}
    for cell in models.values():
        module = build_from_spec(get_spec(cell.encoder), dim_in=8, **cell.params["hyper"])
        assert list(module.parameters())


def test_figures_that_show_the_same_models_share_their_trainings() -> None:
    request = Request(encoders=[], profile="thorough")
    keys = {name: {c.key for c in e.cells(request)} for name, e in experiments.EXPERIMENTS.items()}
    assert keys["fig3b"] == keys["fig3c"] == keys["fig3d"] & keys["fig3a"]
    assert keys["fig4b"] & keys["fig7-slots"] & keys["fig4c"] & keys["fig3a"]
    assert keys["fig4d"] & keys["table1"]
    everything = [c.key for c in experiments.cells(request)]
    assert len(everything) == len(set(everything)) == len(set.union(*keys.values()))


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_a_strangers_encoder_joins_every_experiment_as_it_is(name: str) -> None:
    target = sample("SumEncoder")
    requests = (Request(encoders=others, profile="thorough") for others in ([], [target]))
    without, joined = map(experiments.EXPERIMENTS[name].cells, requests)
    added = [c for c in joined if c.encoder == target]
    assert len(joined) == len(without) + len(added)
    assert len(added) >= 3
    assert all(c.params["hyper"] == {} for c in added)


def test_the_laptop_profile_trains_at_least_three_seeds() -> None:
    by_model: dict[str, set[int]] = {}
    for cell in experiments.cells(Request(encoders=[], profile="thorough", seed=5)):
        shown = {name: value for name, value in cell.params.items() if name not in ("embeddings", "kept")}
        by_model.setdefault(f"{cell.case} {cell.encoder} {shown}", set()).add(cell.seed)
    assert set(map(frozenset, by_model.values())) == {frozenset({5, 6, 7})}


def test_cells_are_those_of_the_task_suites_and_run_as_theirs() -> None:
    target = sample("SumEncoder")
    found = [
        cell
        for name in ("fig2", "fig4d")
        for cell in experiments.EXPERIMENTS[name].cells(Request(encoders=[target], profile="smoke"))
        if cell.encoder == target
    ]
    assert {c.suite for c in found} == {"image-completion", "point-clouds"}
    assert all(record.status is Status.OK for cell in found for record in suite("paper").run(cell))


def test_an_experiment_says_which_records_it_shows() -> None:
    shown_by = experiments.EXPERIMENTS["fig3a"]
    known = shown_by.cells(Request(encoders=[], profile="smoke"))
    (cell,) = [c for c in known if c.encoder == "pma" and c.case == "patches-64"]
    record = run([cell])[0]
    shown = {"suite": record.suite, "metric": record.metric, "detail.mode": record.detail["mode"]}
    assert shown.items() >= {name: value for name, value in shown_by.where.items() if value is not None}.items()


def test_the_suite_of_experiments_is_registered_with_the_tasks() -> None:
    assert {"paper", "image-completion", "centroids", "gradients"} <= set(registry.plugins(registry.SUITES))


def test_pictures_are_kept_of_two_models_under_the_first_seed() -> None:
    cells = experiments.EXPERIMENTS["fig3a"].cells(Request(encoders=[], profile="thorough", seed=5))
    kept = [(c.encoder, c.seed) for c in cells if c.params["kept"]]
    assert kept == [("deepsets-mean", 5), ("sse-random", 5)]


def test_every_task_trains_on_the_device_that_is_asked_for() -> None:
    tasks = set(registry.plugins(registry.SUITES)) - {"architectures", "consistency", "laws", "resources"}
    request = Request(encoders=["a"], profile="thorough", device="cuda")
    assert {cell.device for name in tasks for cell in suite(name).cells(request)} == {"cuda"}
