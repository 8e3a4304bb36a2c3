"""Layers of universal-set-transformers, which read minibatches; a multiplicity of 0 leaves an element out."""

from torch import Tensor, nn
from ust.modules import MultiheadSetAttention, Slots
from ust.modules.scaled_dot_product_attention import (
    ScaledDotProductSigmoidSetAttention,
    ScaledDotProductSoftmaxSetAttention,
)
from ust.modules.set_transformer import (
    InducedSetAttentionBlock,
    PoolingByMultiheadSetAttention,
    SetAttentionBlock,
)

from mbcbench.adapters import MaskAdapter, StepsAdapter


def multiplicities(module: nn.Module) -> nn.Module:
    return MaskAdapter(module, lambda layer, x, mask: layer(x, mask.to(x.dtype)))


def pooling(dim_in: int) -> nn.Module:
    return multiplicities(PoolingByMultiheadSetAttention(dim_in, 2, num_slots=2))


def pooling_softmax(dim_in: int) -> nn.Module:
    method = ScaledDotProductSoftmaxSetAttention()
    return multiplicities(PoolingByMultiheadSetAttention(dim_in, 2, num_slots=2, attention_method=method))


def pooling_sigmoid(dim_in: int) -> nn.Module:
    method = ScaledDotProductSigmoidSetAttention()
    return multiplicities(PoolingByMultiheadSetAttention(dim_in, 2, num_slots=2, attention_method=method))


def attention_block(dim_in: int) -> nn.Module:
    return multiplicities(SetAttentionBlock(dim_in, 2))


def induced_block(dim_in: int) -> nn.Module:
    return multiplicities(InducedSetAttentionBlock(dim_in, 2, num_slots=2))


class Attention(nn.Module):
    """Slots that attend to minibatches; the state of `MultiheadSetAttention` carries the stream."""

    def __init__(self, dim: int, method: nn.Module) -> None:
        super().__init__()
        self.slots = Slots(dim, 2)
        self.attention = MultiheadSetAttention(dim, 2, attention_method=method)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(self.slots(len(x)), x)
        return out


def stream(module: Attention) -> nn.Module:
    def step(attention: Attention, state: dict[str, object], x: Tensor) -> dict[str, object]:
        if x.shape[1] == 0:
            return state
        return state | {"memory": attention.attention(attention.slots(len(x)), x, state=state["memory"])[1]}

    return StepsAdapter(
        module,
        init_state=lambda attention, size: {"size": size, "memory": None},
        update=step,
        readout=lambda attn, state: attn.attention(attn.slots(state["size"]), (), state=state["memory"])[0],
        forward=lambda attention, x: attention(x),
    )


def attention_stream(dim_in: int) -> nn.Module:
    return stream(Attention(dim_in, ScaledDotProductSoftmaxSetAttention()))


def attention_stream_sigmoid(dim_in: int) -> nn.Module:
    return stream(Attention(dim_in, ScaledDotProductSigmoidSetAttention()))
