"""What a training step is, one file a task."""
