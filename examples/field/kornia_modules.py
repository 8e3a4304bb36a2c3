"""The pooling head of SigLIP 2 in kornia."""

from kornia.models.siglip2.config import SigLip2VisionConfig
from kornia.models.siglip2.vision_encoder import SigLip2MultiheadAttentionPoolingHead
from torch import nn

from mbcbench.adapters import renamed_mask


def pooling_head(dim_in: int) -> nn.Module:
    config = SigLip2VisionConfig(hidden_size=dim_in, num_attention_heads=2, intermediate_size=8)
    return renamed_mask(SigLip2MultiheadAttentionPoolingHead(config), "attention_mask")
