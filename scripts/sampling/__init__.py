"""The command sample.py."""
