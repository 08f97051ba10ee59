"""Generators: conditions (and noise) to images."""
