"""Where the items of a data set are."""
