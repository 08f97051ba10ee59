"""Measures of what networks make; they import nothing of this project."""
