"""Intervals and tests: pure functions over arrays, each with its source."""

from fastbp.schema.errors import need_memory

need_memory(1 << 27)  # for SciPy, with an OpenBLAS of its own
