"""Data sets, one file each, under the names of params.yaml; download, split, arrays and images."""
