"""Running tasks. Nothing is imported here: the guardian and the Python children start in this package, bare."""
