"""Induced set attention of isab-pytorch, which returns the elements and the latents: `select_output` takes one."""

from isab_pytorch import ISAB
from torch import nn

from mbcbench.adapters import select_output


def latents(dim_in: int) -> nn.Module:
    return select_output(ISAB(dim=dim_in, heads=2, num_latents=2), 1)


def latents_inverted(dim_in: int) -> nn.Module:
    return select_output(ISAB(dim=dim_in, heads=2, num_latents=2, inverted_attention=True), 1)


def latents_self_attend(dim_in: int) -> nn.Module:
    return select_output(ISAB(dim=dim_in, heads=2, num_latents=2, latent_self_attend=True), 1)


def elements(dim_in: int) -> nn.Module:
    """The elements, a layer from sets to sets."""
    return select_output(ISAB(dim=dim_in, heads=2, num_latents=2), 0)
