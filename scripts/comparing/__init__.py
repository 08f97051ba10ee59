"""The command compare.py."""
