"""Commands beside train.py."""
