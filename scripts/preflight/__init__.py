"""Before a long training: what it would take, and what speaks against it."""
