"""Benchmarks; run ``python -m benchmarks.engine``."""
