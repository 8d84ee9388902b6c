"""Measurements behind the figures in README and docs: `python -m benchmarks NAME --help`."""
