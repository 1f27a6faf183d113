"""The colorizers, one module per architecture, named as in params.yaml."""
