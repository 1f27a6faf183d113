"""The command colorpipe: what one does with trained colorizers."""
