"""The command prepare_dataset.py."""
