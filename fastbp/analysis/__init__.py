"""From stored runs to statistics, tables and pictures. Never imports numba."""
