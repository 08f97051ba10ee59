"""What a user watches: summaries, sheets, evaluation while training."""
