"""Trained models on their test sets: colorizers, the gray baseline, grids and galleries."""
