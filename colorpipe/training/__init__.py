"""The training loop, its state and resume; and one module per kind of training step."""
