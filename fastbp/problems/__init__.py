"""From a table to inputs X and targets T."""
