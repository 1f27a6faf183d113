"""Errors, processes, the machine and live metrics: nothing that can change a result.

No stage declares this package in dvc.yaml.
"""
