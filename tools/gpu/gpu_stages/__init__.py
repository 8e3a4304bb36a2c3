"""Stages of a run on a GPU: each measures one thing and writes its records, as they are made, to a file of its own."""
