"""The keys of a setup, and the version of the numerics that its id depends on."""

NUMERICS_VERSION = 2
"""Which numbers these kernels make (docs/numerics.md). Raised when any bit of a result changes;
stores never mix versions."""
