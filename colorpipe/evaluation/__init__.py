"""Evaluation of colorizers and the gray baseline: metrics, grids and galleries."""
