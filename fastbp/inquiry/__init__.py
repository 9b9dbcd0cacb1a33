"""What asks the engine for single runs, or again and again."""
