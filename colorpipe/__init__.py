"""Reproducible image colorization: data sets, color, models, losses, metrics, training and the report."""
