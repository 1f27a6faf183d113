"""The stages of dvc.yaml: each parses its arguments, calls the library once, and is run as `python -m stages.<name>`."""
