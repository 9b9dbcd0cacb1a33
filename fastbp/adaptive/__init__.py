"""Sweeps that choose their next runs by the results so far."""
