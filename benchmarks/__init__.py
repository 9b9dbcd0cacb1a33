"""Measurements of fastbp beside what a user could write instead: `python -m benchmarks`."""
