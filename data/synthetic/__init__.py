"""The embedded data set of street facades."""
