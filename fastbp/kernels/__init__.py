"""The compiled part: arithmetic, random numbers, networks, training, measures. Numba and NumPy
only.
"""
