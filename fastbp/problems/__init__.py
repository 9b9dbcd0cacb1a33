"""Read tables, and make inputs X and targets T from their columns."""
