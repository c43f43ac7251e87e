"""Benchmarks: each prints a table with its baselines, timed in one interleaved run.  `python -m benchmarks --help`."""
