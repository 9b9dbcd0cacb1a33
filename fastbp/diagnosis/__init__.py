"""From a setup that fails to the change that fixes it: tried on the same seeds, checked on fresh
ones.
"""
