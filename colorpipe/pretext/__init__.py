"""The pretext task: a classifier on a colorizer's encoder against one on a reference encoder."""
