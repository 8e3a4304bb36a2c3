"""Benchmarks for ASV (asv.conf.json). Each times one statement, whose inputs `setup` makes."""
