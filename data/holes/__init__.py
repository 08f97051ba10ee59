"""Holes to be painted."""
