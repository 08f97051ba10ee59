"""Feature networks and what is kept of their outputs."""
