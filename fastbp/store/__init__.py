"""What lies on disk: files of runs, their names and digests, and the folder they are in. Never
imports Numba.
"""
