"""Photographs: decoding, the decoded cache, facts of files."""
