"""What lies on disk: files of runs, their names and digests, and their folder. Without Numba."""
