"""The command colorpipe: what one does with trained colorizers."""

DEFAULT_MODEL = "resnet-cifar10"  # one of zoo/
