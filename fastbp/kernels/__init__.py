"""The compiled part: arithmetic, random numbers, networks, training, measures. Numba and NumPy only."""

NUMERICS_VERSION = 2
"""Which numbers these kernels make (docs/numerics.md). Raised when any bit of a result changes; stores never mix versions."""
