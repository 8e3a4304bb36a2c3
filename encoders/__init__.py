"""Encoders that come with mbcbench: one file per family, and in `nn` the layers and kernels that they share."""
