"""Shared definitions: outcomes, keys, columns, errors, text. Needs neither Numba nor pandas."""
