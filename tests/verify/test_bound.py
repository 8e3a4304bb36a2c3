"""The bound: no alarm on correct encoders, however ill-conditioned."""

import re

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.example import Example
from mbcbench.verify.law import get_law
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import MAX_RELATIVE_BOUND
from tests.controls.base import CORRECT
from tests.controls.cancelling import CANCELLING, PeakInGraph
from tests.controls.conditioned import CONDITIONED, MergedOutputs, PowerMean

BUDGET = Budget(examples=320)
EXPENSIVE = ("mbc.large", "mbc.program")
ALGEBRA = [
    law
    for law in registry.select(registry.LAWS, None)
    if law.startswith(("mbc.", "symmetry.", "numerics.scale")) and law not in EXPENSIVE
]


@pytest.mark.parametrize("encoder", [*CORRECT, *CONDITIONED], ids=lambda encoder: encoder.__name__)
def test_a_correct_encoder_raises_no_alarm(encoder: type) -> None:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    results = {law: checker.try_law(get_law(law), BUDGET) for law in ALGEBRA}
    alarms = {law: r.search for law, r in results.items() if r.status in (Status.FAIL, Status.ERROR)}
    assert not alarms


@pytest.mark.parametrize("encoder", CANCELLING, ids=lambda encoder: encoder.__name__)
def test_terms_that_cancel_raise_no_alarm(encoder: type) -> None:
    # Plain poolings do not claim to be consistent for any g, so only their symmetries are judged.
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    laws = ("symmetry.permutation", "symmetry.elements", "symmetry.batch")
    results = {law: checker.try_law(get_law(law), BUDGET) for law in laws}
    alarms = {law: r.search for law, r in results.items() if r.status in (Status.FAIL, Status.ERROR)}
    assert not alarms


IN_FLOAT32 = [encoder for encoder in (*CORRECT, *CONDITIONED, *CANCELLING) if encoder is not PowerMean]  # 1e4^10 = 1e40


@pytest.mark.parametrize("encoder", IN_FLOAT32, ids=lambda encoder: encoder.__name__)
def test_a_correct_encoder_raises_no_alarm_in_float32_with_large_weights(encoder: type) -> None:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    assert checker.try_law(get_law("numerics.float32"), BUDGET).status is Status.PASS


class FirstOfTies(nn.Module):
    """Selects the longest element: the first of those that tie."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim_in))

    def forward(self, x: Tensor) -> Tensor:
        best = x.square().sum(2).argmax(1)
        longest: Tensor = x[torch.arange(len(x)), best] * self.scale
        return longest


class Sampled(nn.Module):
    """Encodes 512 elements of a larger set, drawn anew at each call."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi, self.draw = nn.Linear(dim_in, 4), torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.randperm(x.shape[1], generator=self.draw)[:512] if x.shape[1] > 512 else slice(None)
        mean: Tensor = self.phi(x[:, chosen]).tanh().mean(1)
        return mean

    def __deepcopy__(self, memo: object) -> "Sampled":
        twin = Sampled(self.phi.in_features).to(self.phi.weight.dtype)
        twin.load_state_dict(self.state_dict())
        return twin


def observe(encoder: type[nn.Module], law: str, example: Example) -> tuple[LawRun, Observation]:
    torch.manual_seed(0)
    run = LawRun(get_law(law), [Subject(encoder(3).double().eval(), 3)])
    with torch.no_grad():
        return run, run.try_example(example)


def test_a_gap_as_large_as_the_encoding_is_no_pass_though_a_tie_excuses_it() -> None:
    tie = Example(sizes=(2,), values=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), seed=4)
    run, observation = observe(FirstOfTies, "symmetry.permutation", tie)
    assert not observation.is_counterexample
    assert run.undecided is not None
    assert run.relative_bound > MAX_RELATIVE_BOUND


def test_an_undecided_law_says_so_with_its_numbers() -> None:
    checker = Checker(EncoderSpec(name="first-of-ties", factory=FirstOfTies), dim_in=3, seed=0)
    record = checker.judge("symmetry.permutation", BUDGET)
    assert record.status is Status.UNDECIDED
    assert re.match(r"a gap of \S+ at n=\d+ shows nothing: rounding may explain up to", record.message)
    assert record.detail["relative_bound"] > MAX_RELATIVE_BOUND


def test_the_noise_of_a_random_encoder_excuses_nothing() -> None:
    _, observation = observe(Sampled, "symmetry.permutation", Example(sizes=(600,), seed=1))
    assert observation.is_counterexample


@pytest.mark.parametrize("encoder", CORRECT, ids=lambda encoder: encoder.__name__)
def test_the_record_of_a_pass_says_what_error_it_leaves_open(encoder: type) -> None:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    assert 0 < checker.judge("mbc.partition", BUDGET).detail["relative_bound"] < 1e-9


def test_a_law_that_measures_tries_all_of_its_examples_whatever_it_measures() -> None:
    law = get_law("numerics.precision")
    checker = Checker(EncoderSpec(name="sum", factory=CORRECT[1]), dim_in=3, seed=0)
    search = checker.try_law(law, BUDGET).search
    assert search is not None
    assert search.holds
    assert search.examples == sum(len(example.kinds) for example in law.fixed)


@pytest.mark.parametrize("seed", range(3))
def test_a_running_maximum_in_the_graph_keeps_the_gradient_laws(seed: int) -> None:
    checker = Checker(EncoderSpec(name="peak-in-graph", factory=PeakInGraph), dim_in=3, seed=seed)
    results = [checker.try_law(get_law(law), BUDGET) for law in ("mbc.gradient", "mbc.partial_gradient")]
    assert [result.status for result in results] == [Status.PASS, Status.PASS]


@pytest.mark.parametrize("seed", range(4))
def test_merging_outputs_by_their_log_sums_keeps_the_law_of_scales(seed: int) -> None:
    checker = Checker(EncoderSpec(name="merged-outputs", factory=MergedOutputs), dim_in=3, seed=seed)
    assert checker.try_law(get_law("numerics.scale"), BUDGET).status is Status.PASS
