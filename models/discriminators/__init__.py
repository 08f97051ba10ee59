"""Discriminators: images and conditions to logits and features."""
