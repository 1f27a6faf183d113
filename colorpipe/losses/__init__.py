"""The losses that colorizers are trained on, one module each, named as in params.yaml."""
