"""Compiled code: arithmetic, random numbers, training and measures; Numba and NumPy only."""
