"""Find the change that fixes a failing setup: tried on the same seeds, checked on fresh ones."""
