"""Is my backpropagation right? A user's own function against the kernels and finite differences."""
