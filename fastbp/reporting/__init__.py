"""From tables to sentences, pictures and the page. Never imports Numba."""
