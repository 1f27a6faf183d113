"""What a colorizer is trained on, one file a loss, named as in params.yaml."""
