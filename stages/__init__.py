"""The stages of dvc.yaml. Each parses its arguments and calls the library once."""
