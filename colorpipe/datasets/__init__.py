"""The data sets, one file each, named as params.yaml names them."""
