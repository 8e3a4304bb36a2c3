"""Deliberately wrong encoders, each named after its vice."""
