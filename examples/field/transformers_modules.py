"""The pooling heads of SigLIP in transformers."""

from torch import nn
from transformers import Siglip2VisionConfig, SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipMultiheadAttentionPoolingHead
from transformers.models.siglip2.modeling_siglip2 import Siglip2MultiheadAttentionPoolingHead

from mbcbench.adapters import renamed_mask

SIZES = {"num_attention_heads": 2, "intermediate_size": 8}


def siglip_head(dim_in: int) -> nn.Module:
    return SiglipMultiheadAttentionPoolingHead(SiglipVisionConfig(hidden_size=dim_in, **SIZES))


def siglip2_head(dim_in: int) -> nn.Module:
    config = Siglip2VisionConfig(hidden_size=dim_in, **SIZES)
    config._attn_implementation = "sdpa"
    return renamed_mask(Siglip2MultiheadAttentionPoolingHead(config), "attention_mask")
