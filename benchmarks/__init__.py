"""Benchmarks: one file a layer, and end to end against the bare pipeline. `python -m benchmarks` runs all."""
