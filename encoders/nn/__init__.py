"""Layers, states and kernels that the encoders share."""
