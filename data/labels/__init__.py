"""Label maps: reading, encoding, checking, converting."""
