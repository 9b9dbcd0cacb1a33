"""Find the change that fixes a failing setup: try on the same seeds, check on fresh ones."""
