"""Benchmarks: each prints a table beside its baselines, in one interleaved run.  `python -m benchmarks --help`."""
