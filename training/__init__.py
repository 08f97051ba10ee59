"""Tasks, the training loop, checkpoints and summaries."""
