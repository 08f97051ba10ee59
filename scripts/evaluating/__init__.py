"""The command evaluate.py."""
