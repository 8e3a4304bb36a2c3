import mbcbench

from my_plugin import SUITE


def test_a_cell_per_encoder_and_size() -> None:
    request = mbcbench.Request(encoders=["deepsets-sum", "pma"], profile="quick")
    assert len(SUITE.cells(request)) == 4


def test_a_mean_has_the_norm_of_a_sum_by_the_number_of_elements() -> None:
    encoders = ["deepsets-sum", "deepsets-mean"]
    request = mbcbench.Request(encoders=encoders, profile="smoke", seed=1)
    total, mean = (record.value for cell in SUITE.cells(request) for record in SUITE.run(cell))
    assert total is not None
    assert mean is not None
    assert abs(total - 10 * mean) < 1e-3 * total
