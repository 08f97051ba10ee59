"""Keras layers the networks are assembled from."""
