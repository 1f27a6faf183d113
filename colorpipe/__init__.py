"""Reproducible image colorization: data sets, colour, models, losses, metrics, training and the report."""
