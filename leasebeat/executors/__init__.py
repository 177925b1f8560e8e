"""Running tasks. Nothing is imported here: guardian and Python children start in this package, bare."""
