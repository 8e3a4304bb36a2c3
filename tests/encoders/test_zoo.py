"""What is particular to each family."""

import pytest
import torch
from torch import Tensor

from tests.encoders.conftest import Build


@pytest.mark.parametrize("g", ["sum", "mean", "max", "min"])
def test_deepsets_encodes_an_empty_set_as_zeros(build: Build, x: Tensor, g: str) -> None:
    assert not build(f"deepsets-{g}")(x[:, :0]).any()


def test_deepsets_max_of_negative_features_is_negative(build: Build, x: Tensor) -> None:
    module = build("deepsets-max")
    with torch.no_grad():
        module.phi[2].bias.fill_(-1e3)
    assert (module(x) < 0).all()


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("name", ["deepsets-original", "deepsets-original-mean"])
def test_the_layers_of_the_original_deepsets_are_equivariant(build: Build, x: Tensor, name: str, kind: int) -> None:
    layer = build(name, kind=kind).layers[0]
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-12)


def test_permequi1_does_not_see_a_shift_of_the_whole_set(build: Build, x: Tensor) -> None:
    assert torch.allclose(build("deepsets-original")(x + 5), build("deepsets-original")(x), atol=1e-12)
    shifted = build("deepsets-original", kind=2)
    assert not torch.allclose(shifted(x + 5), shifted(x), atol=1e-3)


@pytest.mark.parametrize("name", ["set-transformer", "set-transformer-sab"])
def test_attention_blocks_are_equivariant(build: Build, x: Tensor, name: str) -> None:
    block = build(name).layers[0]
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(block(x[:, order]), block(x)[:, order], atol=1e-12)


def test_the_set_transformer_gives_one_row_a_seed_and_takes_layer_norm(build: Build, x: Tensor) -> None:
    assert build("set-transformer", seeds=3, dim=8, heads=2, layer_norm=True)(x).shape == (2, 3, 8)


def test_heads_must_divide_the_width(build: Build) -> None:
    with pytest.raises(Exception, match="dim=10 is not a multiple of heads=4"):
        build("set-transformer", dim=10)
