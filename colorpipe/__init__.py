"""Reproducible image colorization: data sets, color, models, losses, metrics and training."""
