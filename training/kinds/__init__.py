"""Kinds of tasks: what a network reads, what sheets show, and which metrics apply."""
