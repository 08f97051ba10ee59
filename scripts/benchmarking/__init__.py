"""The command benchmark.py."""
