"""Intervals and tests: pure functions over arrays, each with its source."""

from fastbp.schema.errors import need_memory

need_memory(3 << 26)  # for SciPy, with an OpenBLAS of its own, and for what it is loaded for
