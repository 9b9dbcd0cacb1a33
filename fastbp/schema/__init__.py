"""The vocabulary: outcomes, keys, columns, errors and text. Needs neither Numba nor pandas."""
