"""Benchmarks for ASV (asv.conf.json): timing bodies of one statement, what they need made in setup."""
