"""The data sets, one file each, named as in params.yaml; archives, images, download, split and load."""
