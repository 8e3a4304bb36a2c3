import mbcbench
from torch import Tensor, nn


class Linear(nn.Module):
    def __init__(self, dim_in: int, bias: bool) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        encoding: Tensor = self.phi(x).sum(1)
        return encoding


def status(*, bias: bool) -> str:
    spec = mbcbench.EncoderSpec(
        name="linear",
        factory=Linear,
        hyper={"bias": bias},
        claims={"PLUGIN_NAME": "the sum of linear functions is linear"},
    )
    (outcome,) = mbcbench.check(spec, laws=["PLUGIN_NAME"])["status"]
    return str(outcome)


def test_a_linear_encoder_keeps_the_law() -> None:
    assert status(bias=False) == "pass"


def test_a_bias_breaks_the_law() -> None:
    assert status(bias=True) == "fail"
