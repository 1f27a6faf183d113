"""Trained models on their test sets: colorizers, the baseline, the pretext task, galleries."""
