"""Tabulate DVC experiments over their seeds, and compare metrics with committed ones."""
