"""A run folder from outside: its config, checkpoints, classes, and opening it for use."""
