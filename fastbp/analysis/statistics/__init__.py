"""Intervals and tests: pure functions over arrays, each with its source."""
