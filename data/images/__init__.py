"""Photographs: decoding, the decoded cache, findings of the data check."""
