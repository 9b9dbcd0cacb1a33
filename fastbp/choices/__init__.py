"""What a user can choose: a file is a family, a function is a choice."""
