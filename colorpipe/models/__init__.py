"""The colorizers, one file an architecture, named as in params.yaml; and the classifier of the pretext task."""
