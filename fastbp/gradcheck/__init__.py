"""Compare a user's own backpropagation with fastbp's and name its mistakes."""
