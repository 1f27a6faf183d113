"""The command colorpipe: use of trained colorizers."""
