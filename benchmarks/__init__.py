"""Measures what the engine costs beside the work it orchestrates: `python -m benchmarks` (or `make bench`)."""
