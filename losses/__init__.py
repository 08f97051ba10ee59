"""Loss functions and loss terms: numbers from tensors."""
