"""The colorizers, one file an architecture, named as params.yaml names them; and the pretext classifier."""
