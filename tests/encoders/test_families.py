"""Tests of single encoder families."""

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.encoder import encode_stream
from tests.encoders.conftest import Build, chunks


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


def test_permequi1_is_invariant_to_a_shift_of_the_whole_set(build: Build, x: Tensor) -> None:
    assert torch.allclose(build("deepsets-original")(x + 5), build("deepsets-original")(x), atol=1e-12)
    shifted = build("deepsets-original", kind=2)
    assert not torch.allclose(shifted(x + 5), shifted(x), atol=1e-3)


@pytest.mark.parametrize("name", ["set-transformer", "set-transformer-sab"])
def test_attention_blocks_are_equivariant(build: Build, x: Tensor, name: str) -> None:
    block = build(name).layers[0]
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(block(x[:, order]), block(x)[:, order], atol=1e-12)


def test_the_set_transformer_gives_one_row_per_seed_and_accepts_layer_norm(build: Build, x: Tensor) -> None:
    assert build("set-transformer", seeds=3, dim=8, heads=2, layer_norm=True)(x).shape == (2, 3, 8)


def test_keys_have_no_bias_because_a_softmax_ignores_it(build: Build) -> None:
    assert build("pma").pma.mab.fc_k.bias is None
    assert build("perceiver").cross.k.bias is None


def test_slot_attention_draws_new_slots_in_train_and_the_same_in_eval(build: Build, x: Tensor) -> None:
    module = build("slot-attention")
    assert torch.equal(module(x), module(x))
    assert not torch.allclose(module.train()(x), module(x), atol=1e-6)


@pytest.mark.parametrize("attention", ["softmax", "sigmoid", "slot-sigmoid"])
def test_every_attention_of_umbc_is_consistent_even_at_extreme_logits(build: Build, x: Tensor, attention: str) -> None:
    module = build("umbc", attention=attention)
    with torch.no_grad():
        module.k.weight.mul_(1e4)
    out = module(x)
    assert out.isfinite().all()
    assert torch.allclose(encode_stream(module, chunks(x, [1, 5, 7])), out, atol=1e-9)


def test_a_stream_of_umbc_keeps_its_slots(build: Build, x: Tensor) -> None:
    module = build("umbc").train()
    start = module.init_state(2)
    assert torch.equal(module.update(start, x).slots, start.slots)
    assert not torch.allclose(start.slots[0], start.slots[1])


def test_the_variance_survives_a_mean_of_ten_thousand_in_float32(build: Build, x: Tensor) -> None:
    module = build("moments").float()
    with torch.no_grad():
        small = module(x.float())[:, 32:]
        module.phi[2].bias.add_(1e4)
        large = encode_stream(module, chunks(x.float(), [1, 5, 7]))[:, 32:]
    assert torch.allclose(large, small, rtol=1e-2, atol=1e-4 * float(small.max()))


def test_moments_are_means_then_variances(build: Build, x: Tensor) -> None:
    module = build("moments", dim=6)
    features = module.phi(x)
    expected = torch.cat([features.mean(1), features.var(1, correction=0)], 1)
    assert torch.allclose(module(x), expected, atol=1e-12)


def test_moments_need_an_even_width(build: Build) -> None:
    with pytest.raises(Exception, match="dim=7 is odd"):
        build("moments", dim=7)


def test_top_k_orders_rows_by_score_and_leaves_missing_rows_zero(build: Build, x: Tensor) -> None:
    module = build("top-k", k=16)
    state = module.update(module.init_state(2), x)
    scores = state.scores[:, :13]
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert not module.readout(state)[:, 13:].any()


def test_janossy_averages_over_pairs_and_pads_a_single_element(build: Build, x: Tensor) -> None:
    module = build("janossy")
    single = module.out(module.first(x[:, 0]).relu())
    assert torch.allclose(module(x[:, :1]), single, atol=1e-12)
    a, b = (module.out((module.first(x[:, i]) + module.second(x[:, j])).relu()) for i, j in ((0, 1), (1, 0)))
    assert torch.allclose(module(x[:, :2]), (a + b) / 2, atol=1e-12)


def test_fspool_with_equal_weights_is_the_sum(build: Build, x: Tensor) -> None:
    module = build("fspool")
    with torch.no_grad():
        module.weight.fill_(1)
    assert torch.allclose(module(x), module.phi(x).sum(1), atol=1e-12)


def test_attention_pooling_is_a_weighted_mean(build: Build, x: Tensor) -> None:
    for name in ("attention-pooling", "attention-pooling-gated"):
        features = build(name).phi(x)
        out = build(name)(x)
        assert (out <= features.max(1).values).all()
        assert (out >= features.min(1).values).all()


def test_heads_must_divide_the_width(build: Build) -> None:
    with pytest.raises(Exception, match="dim=10 is not a multiple of heads=4"):
        build("set-transformer", dim=10)


@pytest.mark.parametrize("name", ["set-transformer", "set-transformer-sab", "isab-pma"])
def test_attention_with_a_gradient_is_the_same_as_without(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    for rows in (x, x[:, :0]):
        with torch.no_grad():
            expected = module(rows)
        assert torch.allclose(module(rows), expected, rtol=1e-12)


def test_the_gradient_of_janossy_by_sorting_is_that_of_all_pairs(build: Build, x: Tensor) -> None:
    module = build("janossy")
    weights = list(module.parameters())
    direction = torch.randn(module(x).shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    all_pairs = module(x, torch.ones(x.shape[:2], dtype=torch.bool))  # with a mask, pairs are summed one by one
    assert torch.allclose(module(x), all_pairs, rtol=1e-12)
    gradients = [torch.autograd.grad((out * direction).sum(), weights) for out in (module(x), all_pairs)]
    for fast, slow in zip(*gradients, strict=True):
        assert torch.allclose(fast, slow, rtol=1e-10)
