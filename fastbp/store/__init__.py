"""Stores on disk: files of runs, their names, digests and folders. Needs no Numba."""
