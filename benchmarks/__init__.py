"""How fast colorpipe is, beside the way people write it: `make bench`."""
