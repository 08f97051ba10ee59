"""Kinds of tasks: what a network is asked by, what is shown of it and what it is measured by."""
