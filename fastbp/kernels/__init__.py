"""Compiled code: arithmetic, random numbers, training and measures; Numba and NumPy only."""

from fastbp.schema.errors import need_memory

need_memory(1 << 28)  # for Numba, which ends Python where LLVM finds none
