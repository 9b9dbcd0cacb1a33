"""What the commands share: arguments, signals and exit codes, the terminal."""
